"""The pictures of the recipe pages: a short real run of every recipe, its loss and its samples.

python benchmarks/recipe_pages.py                 all, one after another: some ten minutes on two idle cores
python benchmarks/recipe_pages.py --only wgan     one of them
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image, PngImagePlugin

from benchmarks.recipe_tables import RUNS
from ml.card.charts import draw_chart
from ml.card.history import charts_of, read_history
from ml.catalog import RECIPES
from ml.codecs.provenance import Provenance, xmp_packet

REPOSITORY = Path(__file__).parents[1]
PICTURES = REPOSITORY / "docs" / "images" / "recipes"
KIMG = {"mlp-gan": 30.0, "vae": 20.0}
USUAL_KIMG = 10.0
"""Enough to see where a recipe is going, and little enough to repeat."""
CHART = (400, 190)
ROWS, CELL = 5, 34
COLOURS = 48
LARGEST_BYTES = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", choices=list(RECIPES), action="append", help="Run this one; may be repeated."
    )
    chosen = parser.parse_args().only or list(RECIPES)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for recipe in chosen:
        with tempfile.TemporaryDirectory() as folder:
            record(recipe, run(recipe, Path(folder)))


def run(recipe: str, folder: Path) -> dict[str, Any]:
    """Train as a user would, draw the picture, and return what the page says about it."""
    command = [
        "train",
        "--dataset",
        "digits",
        "--recipe",
        recipe,
        "--kimg",
        f"{KIMG.get(recipe, USUAL_KIMG):g}",
    ]
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "ml", *command, "--out", str(folder)],
        check=True,
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    wall = time.monotonic() - started
    card = json.loads((folder / "model_card.json").read_text("utf-8"))
    draw(recipe, folder)
    chosen = card["training"]["choices"].get("recipe_chosen", {})
    print(f"{recipe}: {card['training']['seconds']:.0f} s of training, {wall:.0f} s in all", flush=True)
    return {
        "command": shlex.join(["python", "-m", "ml", *command]),
        "recipe": card["recipe"]["name"],
        "reason": chosen.get("reason"),
        "seed": card["seed"],
        "images_seen": card["training"]["images_seen"],
        "seconds": card["training"]["seconds"],
        "precision": card["training"]["precision"],
        "load": round(os.getloadavg()[0], 1),
        "n": card["figures"]["n"],
        "figures": {
            name: {part: figure[part] for part in ("value", "floor")}
            for name, figure in card["figures"]["values"].items()
        },
    }


def draw(recipe: str, folder: Path) -> None:
    """Put the first chart and the first rows of samples side by side, small enough for a page."""
    with Image.open(folder / "grid.png") as grid:
        samples = grid.convert("RGB").crop((0, 0, grid.width, min(grid.height, ROWS * CELL + 2)))
    chart = draw_chart(charts_of(read_history(folder / "metrics.jsonl"))[0], width=CHART[0], height=CHART[1])
    sheet = Image.new("RGB", (chart.width + 16 + samples.width, CHART[1]), (255, 255, 255))
    sheet.paste(chart, (0, 0))
    sheet.paste(samples, (chart.width + 16, (CHART[1] - samples.height) // 2))
    label = PngImagePlugin.PngInfo()
    label.add_itxt("XML:com.adobe.xmp", xmp_packet(Provenance()).decode())
    path = PICTURES / f"{recipe}.png"
    sheet.quantize(COLOURS).save(path, optimize=True, pnginfo=label)
    if path.stat().st_size > LARGEST_BYTES:
        raise RuntimeError(
            f"{path} has {path.stat().st_size:,} bytes; a page's picture may have {LARGEST_BYTES:,}."
        )


def record(recipe: str, found: dict[str, Any]) -> None:
    """Keep a run's facts for the pages."""
    runs = json.loads(RUNS.read_text("utf-8")) if RUNS.is_file() else {"runs": {}}
    runs["machine"] = {
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    runs["runs"][recipe] = found
    RUNS.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

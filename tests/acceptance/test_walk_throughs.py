"""Every line of the README's curl walk-through and of the tutorial is run, in order, against one whole stack."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aigc_platform.settings.env import REPOSITORY_DIR
from ml.codecs.png import read_provenance
from ml.data.builtin import load_builtin
from tests.stack_process import StackProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

README = REPOSITORY_DIR / "README.md"
TUTORIAL = REPOSITORY_DIR / "docs" / "tutorials" / "from-ml-to-platform.md"
CLASSES = ("zero", "one", "two")
IMAGES_PER_CLASS = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """Started in a folder where a reader of both pages works."""
    running = StackProcess(tmp_path_factory.mktemp("reader") / "var")
    try:
        running.start()
        yield running
    finally:
        running.stop()


def walk_through(page: Path) -> str:
    """Return the bash blocks that follow the page's mark, as one script."""
    text = page.read_text().split("<!-- walk-through")[1]
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))


def walk(page: Path, stack: StackProcess) -> str:
    """Type the page's lines beside the stack's `var`, where its Python is on the path; return what they print."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", walk_through(page)],
        cwd=stack.folder.parent,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{stack.log()[-4000:]}"
    return done.stdout


def make_images(folder: Path) -> None:
    digits = load_builtin("digits")
    assert digits.labels is not None
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for position in (digits.labels == label).nonzero().flatten()[:IMAGES_PER_CLASS]:
            pixels = digits.images[position, 0].numpy()
            Image.fromarray(pixels).save(folder / name / f"{int(position)}.png")


def test_the_readme_ends_with_checked_ai_labelled_files(stack: StackProcess) -> None:
    folder = stack.folder.parent
    make_images(folder / "my-images")
    printed = walk(README, stack)
    images = sorted((folder / "generated").glob("*-00000*.png"))
    assert len(images) == 8
    assert printed.count(": OK") >= 8
    for image in images:
        label = read_provenance(image.read_bytes())
        assert label is not None
        assert label.model_version == "mine:1"


def values_of(card: dict[str, Any]) -> dict[str, float]:
    """Return the measured figures by name."""
    return {name: figure["value"] for name, figure in card["figures"]["values"].items()}


def test_the_tutorial_ends_with_the_same_weights_twice(stack: StackProcess) -> None:
    """By `ml` alone, and by a job of the platform."""
    folder = stack.folder.parent
    walk(TUTORIAL, stack)
    version = json.loads((folder / "version.json").read_text())
    local = json.loads((folder / "run" / "model_card.json").read_text())
    assert version["card"]["snapshot_sha256"] == local["snapshot_sha256"]
    # The sums behind the figures may round differently with another number of threads.
    assert values_of(version["card"]) == pytest.approx(values_of(local), rel=1e-3, abs=1e-4)
    assert local["licence"]["weights"] == "CC0-1.0"
    assert local["training"]["images_seen"] == 4000
    assert "## Limits" in (folder / "MODEL_CARD.md").read_text()
    with Image.open(folder / "model_card.png") as card:
        assert card.size[0] == 1200
    images = sorted((folder / "samples").glob("*.png"))
    assert len(images) == 20
    assert all(read_provenance(image.read_bytes()) for image in images)
    assert json.loads((folder / "report.json").read_text())["n"] == 100

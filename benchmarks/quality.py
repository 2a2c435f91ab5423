"""How good the pictures get in a given time: every recipe, on data sets that come with the platform.

    python benchmarks/quality.py --datasets fashion-mnist digits --recipes dcgan rpgan --seconds 60 300
    python benchmarks/quality.py --rates-only         measure images a second, train nothing
    python benchmarks/quality.py --render             write the tables anew from the rows there are

A budget of so many seconds on two idle cores is turned into images beforehand, by the rate at which the
recipe trains (see `images_in`), and training ends after so many images. So a busy machine makes the
benchmark slower and changes no figure. One thread trains. Rows that were measured already are kept, so it can
be run in pieces; a recipe whose schedules follow its budget is trained from the start for every budget, the
others go on from one to the next.

Writes `benchmarks/results/quality_rates.json`, `quality.jsonl` (a line for each measured row), `curves/`
(losses and kernel distances on the way) and, by `quality_table.py`, `quality.md` and the catalog's `measured.json`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor

from benchmarks.quality_table import write_measured, write_tables
from benchmarks.training_rates import images_in, measure_rates, timed_as
from ml.catalog import RECIPES, RecipeConfig, parse_config
from ml.checkpoint import software_versions
from ml.data.named import load_dataset
from ml.data.packed import PackedDataset
from ml.evaluate import evaluate
from ml.features.extractor import ClassifierExtractor
from ml.hooks import Hooks
from ml.metrics.setting import Setting, prepare_setting
from ml.sample import SampleItem, Sampler
from ml.train import train
from ml.training.resume import follows_the_budget

RESULTS = Path(__file__).parent / "results"
ROWS, CURVES = RESULTS / "quality.jsonl", RESULTS / "curves"
FIGURES = (
    "frechet_distance",
    "kernel_distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "rarest_class",
    "label_accuracy",
)
SAMPLES = 5000
SPREAD_SAMPLES = 2000
CURVE_POINTS = 200
MEASURED = Path(__file__).parents[1] / "ml" / "catalog" / "measured.json"


@dataclass(frozen=True)
class Case:
    """One training to measure: at each of `seconds` of two idle cores."""

    dataset: str
    recipe: str
    seed: int
    seconds: tuple[float, ...]


def starts_anew(case: Case, config: RecipeConfig) -> bool:
    """Whether a longer budget is another run from the first step on; what `auto` chooses depends on the budget."""
    return case.recipe == "auto" or follows_the_budget(config)


def snapshots(case: Case, data: PackedDataset, rates: Mapping[str, Any], work: Path) -> Iterator[Any]:
    """(seconds, kimg, config, snapshot, cpu seconds) after each budget; goes on where an earlier call stopped."""
    timed = timed_as(case.recipe, data)
    for seconds in sorted(case.seconds):
        kimg = images_in(seconds, case.dataset, timed, rates)
        settings = {"kimg": kimg, "seed": case.seed, "precision": "fp32", "grid_seconds": 0.0}
        config = parse_config(case.recipe, settings)
        out = work / f"{case.dataset}-{case.recipe}-{case.seed}"
        if starts_anew(case, config):
            out = out.with_name(f"{out.name}-{seconds:g}s")
        states = sorted((out / "checkpoints").glob("[0-9]*"))
        began = time.process_time()
        result = train(
            data, config, recipe=case.recipe, out=out, hooks=Hooks(), resume=states[-1] if states else None
        )
        if result.snapshot is None:
            raise RuntimeError(f"{out} has no snapshot")
        yield seconds, kimg, config, out, time.process_time() - began


def spread_of_classes(features: Tensor, labels: Tensor) -> float:
    """Mean over classes of the root of the features' total variance within the class."""
    picked = [features[labels == c] for c in sorted(set(labels.tolist()))]
    return float(np.mean([float(of.var(dim=0).sum()) ** 0.5 for of in picked if len(of) > 1]))


def within_class_spread(snapshot: Path, setting: Setting) -> float | None:
    """How much images of one class differ from each other, over the same of held-out images; None without labels."""
    extractor, labels = setting.terms.extractor, setting.labels
    if labels is None or not isinstance(extractor, ClassifierExtractor):
        return None
    sampler, test = Sampler.load(snapshot), setting.test[:SPREAD_SAMPLES]
    asked = labels[test]
    items = [SampleItem(1, i, int(c) if sampler.classes else None) for i, c in enumerate(asked)]
    made = np.stack([image for _, image in sampler.sample(items)])
    fake = extractor.features(torch.from_numpy(made).permute(0, 3, 1, 2).contiguous())
    shown = asked if sampler.classes else extractor.network.classify(fake)
    return spread_of_classes(fake, shown) / spread_of_classes(extractor.features(setting.images(test)), asked)


def score(snapshot: Path, data: PackedDataset, n: int) -> dict[str, Any]:
    """The figures of a snapshot at n samples, or as many as are held out, each with its floor."""
    most = len(prepare_setting(data, n=None, seed=0, holdout=None, extractor=None).test)
    n = min(n, most)
    report = evaluate(snapshot, data, n=n)
    setting = prepare_setting(data, n=n, seed=0, holdout=None, extractor=None)
    figures = {
        figure.name: {"value": round(figure.value, 5), "floor": figure.floor and round(figure.floor, 5)}
        for figure in report.figures
        if figure.name in FIGURES
    }
    spread = within_class_spread(snapshot, setting)
    if spread is not None:
        figures["within_class_spread"] = {"value": round(spread, 4), "floor": 1.0}
    return {
        "figures": figures,
        "n": report.n,
        "extractor": f"{report.extractor.name} {report.extractor.sha256[:12]}",
        "seen_in_training": report.split.seen_in_training,
    }


def read_rows() -> list[dict[str, Any]]:
    """Rows measured so far."""
    lines = ROWS.read_text("utf-8").splitlines() if ROWS.is_file() else []
    return [json.loads(line) for line in lines]


def is_measured(rows: list[dict[str, Any]], case: Case, seconds: float) -> bool:
    wanted = {"dataset": case.dataset, "recipe": case.recipe, "seed": case.seed, "seconds": seconds}
    return any(wanted.items() <= row.items() for row in rows)


def own_settings(config: RecipeConfig) -> dict[str, Any]:
    """A config without what the benchmark decides: what a row stands for."""
    of_benchmark = {"kimg", "seed", "precision", "grid_seconds", "tick_seconds", "max_seconds"}
    return {name: value for name, value in config.model_dump(mode="json").items() if name not in of_benchmark}


def keep_curve(out: Path, case: Case, name: str) -> None:
    """Copy every so many lines of a run's metrics to the results."""
    lines = (out / "metrics.jsonl").read_text("utf-8").splitlines()
    CURVES.mkdir(parents=True, exist_ok=True)
    thinned = lines[:: max(1, len(lines) // CURVE_POINTS)]
    (CURVES / f"{case.dataset}-{case.recipe}-{case.seed}{name}.jsonl").write_text(
        "\n".join(thinned) + "\n", "utf-8"
    )


def measure_case(case: Case, rates: Mapping[str, Any], work: Path, n: int) -> None:
    """Train and score one case, and add its rows; those already there are skipped."""
    rows = read_rows()
    missing = tuple(seconds for seconds in case.seconds if not is_measured(rows, case, seconds))
    if not missing:
        return
    data = load_dataset(case.dataset)
    wanted = Case(case.dataset, case.recipe, case.seed, missing)
    for seconds, kimg, config, out, cpu in snapshots(wanted, data, rates, work):
        row = {
            "dataset": case.dataset,
            "recipe": case.recipe,
            "seed": case.seed,
            "seconds": seconds,
            "kimg": kimg,
            "cpu_seconds": round(cpu),
            **score(out / "snapshot", data, n),
            "config": own_settings(config),
            "versions": software_versions(),
        }
        ROWS.parent.mkdir(parents=True, exist_ok=True)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        keep_curve(out, case, f"-{seconds:g}s" if starts_anew(case, config) else "")
        of_row = {name: figure["value"] for name, figure in row["figures"].items()}
        print(case.dataset, case.recipe, case.seed, f"{seconds:g} s", f"{kimg:g} kimg", of_row, flush=True)
        render()


def render() -> None:
    """Write the tables, and what the catalog says of each recipe, from the rows there are."""
    rows = read_rows()
    write_tables(rows, RESULTS)
    write_measured(rows, MEASURED)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=["fashion-mnist", "digits"])
    parser.add_argument("--recipes", nargs="+", default=[name for name in RECIPES if name != "auto"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", nargs="+", type=float, default=[60.0, 180.0, 300.0, 600.0])
    parser.add_argument(
        "--n", type=int, default=SAMPLES, help="samples of an evaluation, if as many are held out"
    )
    parser.add_argument("--work", type=Path, default=Path("var/quality"), help="runs are kept here")
    parser.add_argument("--rates-only", action="store_true")
    parser.add_argument("--render", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.render:
        render()
        return
    rates = measure_rates(options.datasets, options.recipes)
    if options.rates_only:
        return
    for seed in options.seeds:
        for dataset in options.datasets:
            for recipe in options.recipes:
                case = Case(dataset, recipe, seed, tuple(options.seconds))
                measure_case(case, rates, options.work, options.n)


if __name__ == "__main__":
    main()

"""How many images a second the recipes train on, for benchmarks that count time in images."""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ml.catalog import is_conditional, parse_config
from ml.data.named import load_dataset
from ml.data.packed import PackedDataset
from ml.data.profile import profile_dataset
from ml.networks.spec import network_specs
from ml.training.auto import choose_recipe
from ml.training.state import TrainingState
from ml.training.steps.choose import choose_step

RATES = Path(__file__).parent / "results" / "quality_rates.json"
REFERENCE = "dcgan"
"""The rates of all others are ratios to its rate."""
WARM_UP_STEPS = 3
WINDOWS = 15
WINDOW_SECONDS = 0.4


class Pace:
    """Windows of a recipe's own steps: how many images a second they train on."""

    def __init__(self, recipe: str, data: PackedDataset) -> None:
        self._data = data
        self._config = parse_config(recipe, {"precision": "fp32", "kimg": 1e5})
        channels, px, _ = data.image_shape
        conditional = is_conditional(self._config, classes=len(data.classes))
        classes = len(data.classes) if conditional else 0
        specs = network_specs(self._config, px=px, image_channels=1 if channels == 1 else 3, classes=classes)
        self._state = TrainingState.fresh(
            self._config, *specs, image_count=len(data.images), device=torch.device("cpu")
        )
        self._step, self._labels = choose_step(self._config), data.labels if conditional else None
        for _ in range(WARM_UP_STEPS):
            self._take_step()

    def window(self, seconds: float, clock: Callable[[], float]) -> float:
        """Images a second over so many seconds of this clock."""
        count, started = 0, clock()
        while clock() - started < seconds:
            self._take_step()
            count += self._config.batch_size
        return count / (clock() - started)

    def _take_step(self) -> None:
        picked = self._state.sampler.next_batch(self._config.batch_size)
        real = self._data.images[picked].float().div_(127.5).sub_(1.0)
        self._step(self._state, real, None if self._labels is None else self._labels[picked])


def reference_rate(data: PackedDataset) -> dict[str, float]:
    """Images a second of the reference recipe, on one core and on two.

    With one thread by the processor's clock, which neighbours on the machine hardly touch: the median of the windows.
    With two by the wall's: the fastest is the one in which they disturbed least, and what they still took makes the
    rate too small.
    """
    torch.set_num_threads(1)
    pace = Pace(REFERENCE, data)
    one = statistics.median(pace.window(WINDOW_SECONDS, time.process_time) for _ in range(WINDOWS))
    torch.set_num_threads(2)
    two = max(pace.window(WINDOW_SECONDS, time.perf_counter) for _ in range(WINDOWS))
    torch.set_num_threads(1)
    return {"one_thread": round(one), "two_threads": round(two), "load": round(os.getloadavg()[0], 1)}


def ratio_to_reference(recipe: str, data: PackedDataset) -> float:
    """How many images a recipe trains on while the reference trains on one.

    The median over pairs of windows, one of each and one after the other, so that what slows the machine slows both.
    """
    theirs, ours = Pace(REFERENCE, data), Pace(recipe, data)
    pairs = [
        [pace.window(WINDOW_SECONDS, time.process_time) for pace in (theirs, ours)] for _ in range(WINDOWS)
    ]
    return statistics.median(own / other for other, own in pairs)


def timed_as(recipe: str, data: PackedDataset) -> str:
    """The recipe whose rate counts: what `auto` takes for these data."""
    if recipe != "auto":
        return recipe
    return choose_recipe(parse_config("auto", {}), profile_dataset(data)).recipe


def measure_rates(datasets: list[str], recipes: list[str]) -> dict[str, Any]:
    """Rates of recipes whose rate is not known yet, added to the file."""
    known: dict[str, Any] = json.loads(RATES.read_text("utf-8")) if RATES.is_file() else {}
    for dataset in datasets:
        data = load_dataset(dataset)
        for recipe in (REFERENCE, *(timed_as(recipe, data) for recipe in recipes)):
            name = f"{dataset}/{recipe}"
            if name in known:
                continue
            if recipe == REFERENCE:
                known[name] = reference_rate(data)
            else:
                known[name] = {"of_reference": round(ratio_to_reference(recipe, data), 3)}
            print(name, known[name], flush=True)
            RATES.parent.mkdir(parents=True, exist_ok=True)
            RATES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    return known


def images_in(seconds: float, dataset: str, recipe: str, rates: Mapping[str, Any]) -> float:
    """How many thousand images two idle cores train on in so many seconds.

    By the faster of: two threads by the wall's clock, and one thread by the processor's.
    """
    reference = rates[f"{dataset}/{REFERENCE}"]
    ratio = 1.0 if recipe == REFERENCE else rates[f"{dataset}/{recipe}"]["of_reference"]
    return round(seconds * max(reference["one_thread"], reference["two_threads"]) * ratio / 1000, 1)

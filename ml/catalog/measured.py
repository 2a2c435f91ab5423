"""What the recipes' defaults were measured to reach, so that users know what to expect of which time.

`measured.json` is written by `python benchmarks/quality.py --render`; a test holds it to the measured rows, and
these to the recipes' present defaults. Every figure, and how they are taken: benchmarks/results/quality.md.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Measurement:
    """A recipe's published snapshot after training with its defaults on one data set.

    Attributes:
        dataset: key of `BUILTIN_DATASETS`.
        seconds: the budget, on two idle cores of a processor.
        kimg: the images that the recipe trains on in that time, by thousands.
        seeds: trainings that the figures are means of.
        n: samples compared with as many held-out images.
        frechet_distance: in the features that are the data set's own; lower is better.
        floor: the same distance between real images and held-out ones, at the same n.
        label_accuracy: share of samples recognised as the class they were asked for; None without classes.
    """

    dataset: str
    seconds: float
    kimg: float
    seeds: int
    n: int
    frechet_distance: float
    floor: float
    label_accuracy: float | None


def measurements_of(recipe: str) -> tuple[Measurement, ...]:
    """What was measured of a recipe, by data set and time; empty where nothing was."""
    return _all().get(recipe, ())


@cache
def _all() -> Mapping[str, tuple[Measurement, ...]]:
    stored = json.loads(files("ml.catalog").joinpath("measured.json").read_text("utf-8"))
    return MappingProxyType(
        {recipe: tuple(Measurement(**row) for row in rows) for recipe, rows in stored.items()}
    )

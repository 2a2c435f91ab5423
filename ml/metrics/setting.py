"""What an evaluation is against: the data, its split, equal numbers of real images of either side, the features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ml.catalog import LARGEST_SEED
from ml.data.packed import PackedDataset
from ml.data.split import DEFAULT_HOLDOUT, Split, split_dataset
from ml.errors import MlError
from ml.features.registry import EXTRACTORS, Choice
from ml.metrics.suite import Terms
from ml.metrics.transfer import LabelledImages
from ml.seeds import random_stream

DEFAULT_N = 10_000
MIN_N = 50
"""Below this no figure of a distribution means anything."""


@dataclass(frozen=True)
class Setting:
    """Made by `prepare_setting`.

    Attributes:
        train: picked images of the training side, int64 [n]; test: of the held-out side.
        choice: the feature space and why.
        terms: what all figures share.
    """

    dataset: PackedDataset
    split: Split
    choice: Choice
    train: Tensor
    test: Tensor
    terms: Terms

    @property
    def labels(self) -> Tensor | None:
        """Classes of the data, if there are at least two."""
        return self.dataset.labels if len(self.dataset.classes) >= 2 else None

    def images(self, picked: Tensor) -> Tensor:
        """Real images at these positions."""
        return self.dataset.images[picked]

    def labelled(self, picked: Tensor, labels: Tensor) -> LabelledImages:
        """Real images at these positions with their classes."""
        return LabelledImages(self.dataset.images[picked], labels[picked])


def prepare_setting(
    dataset: PackedDataset,
    *,
    n: int | None,
    seed: int,
    holdout: float | None,
    extractor: str | None,
    match_classes: bool = False,
    at_most: bool = False,
) -> Setting:
    """Split the data, pick `n` images from both sides, and choose the feature space.

    Args:
        dataset: what samples are compared with.
        n: images on each side; None takes 10,000 or as many as the smaller side has.
        seed: of the picks, 0 to 2^53 - 1.
        holdout: share held out; None takes 10 %.
        extractor: see `ExtractorRegistry.choose`.
        match_classes: pick training images of the same classes as the held-out ones, as it is done for samples
            of a generator with classes: otherwise the floor has the luck of the draw in it and samples have not.
        at_most: take fewer than `n` where there are fewer, instead of refusing.

    Raises:
        InvalidDatasetError: the share is out of range.
        MlError: too few images, or no such extractor.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise MlError("evaluation.seed", f"The seed must lie in 0..{LARGEST_SEED}.")
    split = split_dataset(dataset, holdout=DEFAULT_HOLDOUT if holdout is None else holdout)
    if n is None or at_most:
        n = min(DEFAULT_N if n is None else n, len(split.train), len(split.test))
    _check_n(n, split, dataset.name)
    choice = EXTRACTORS.choose(dataset, split, wanted=extractor)
    test = _pick(split.test, n, random_stream(seed, "evaluation/test"))
    train = _pick(split.train, n, random_stream(seed, "evaluation/train"))
    if match_classes and dataset.labels is not None:
        train = _pick_alike(split.train, dataset.labels, test, random_stream(seed, "evaluation/train"))
    terms = Terms(n=n, seed=seed, split=split.method, extractor=choice.extractor)
    return Setting(dataset, split, choice, train, test, terms)


def _pick(side: Tensor, count: int, rng: torch.Generator) -> Tensor:
    return side[torch.randperm(len(side), generator=rng)[:count]]


def _pick_alike(side: Tensor, labels: Tensor, like: Tensor, rng: torch.Generator) -> Tensor:
    """As many images of `side` as in `like`, and of each class as many, as far as the class goes."""
    shuffled = _pick(side, len(side), rng)
    wanted = torch.bincount(labels[like], minlength=int(labels.max()) + 1)
    of_class = [shuffled[labels[shuffled] == c] for c in range(len(wanted))]
    picked = torch.cat([found[: int(count)] for found, count in zip(of_class, wanted, strict=True)])
    rest = torch.cat([found[int(count) :] for found, count in zip(of_class, wanted, strict=True)])
    return torch.cat([picked, rest[: len(like) - len(picked)]])


def _check_n(n: int, split: Split, name: str) -> None:
    train, test = len(split.train), len(split.test)
    sides = f"Of {name}'s {train + test:,} images {test:,} are held out and {train:,} are for training"
    if n < MIN_N:
        raise MlError(
            "evaluation.too_few",
            f"{sides}. An evaluation needs at least {MIN_N} images on each side; this one would have {n:,}. "
            "Ask for more, hold out a larger share, or add images.",
        )
    if n > min(train, test):
        raise MlError(
            "evaluation.too_many",
            f"{sides}, so {n:,} on each side are not there. Ask for at most {min(train, test):,}, or hold out "
            "a larger share.",
        )

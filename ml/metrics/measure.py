"""Measure samples against a setting: every figure that can be measured, and why the others cannot."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ml.features.extractor import ClassifierExtractor
from ml.metrics.report import ClassRow, Figure, Skipped
from ml.metrics.setting import Setting
from ml.metrics.suite import (
    FeatureSets,
    LabelledSets,
    class_figures,
    classifier_of,
    distribution_figures,
    judge_classes,
    memorisation_figures,
    neighbourhood_figures,
    transfer_figures,
    two_sample_figures,
)
from ml.seeds import random_stream

StageHook = Callable[[str, float], None]
"""(stage that begins, share of all work that is done, 0..1). What it raises ends the evaluation."""

CLASS_FIGURES = ("rarest_class", "label_accuracy")
TRANSFER_FIGURES = ("train_on_synthetic_accuracy", "train_on_synthetic_macro_f1")
TWO_SAMPLE_FIGURES = (
    "two_sample_accuracy",
    "two_sample_precision",
    "two_sample_recall",
    "two_sample_f1",
)
QUICK_SEARCHED = 10_000
"""Training images that a quick evaluation searches for copies."""
_NOT_QUICK = "a quick evaluation trains no classifiers; ask for a whole one"


def ignore_stage(_name: str, _done: float, /) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Samples:
    """What is judged.

    Attributes:
        images: uint8 [N, C, H, W], quantised to 8 bits like the files that users get.
        requested: classes they were asked to have, int64 [N]; None without.
    """

    images: Tensor
    requested: Tensor | None


@dataclass(frozen=True)
class Measured:
    """What came out.

    Attributes:
        features: what it was computed from; `searched` says which training images `features.all_train` are.
    """

    figures: tuple[Figure, ...]
    classes: tuple[ClassRow, ...]
    skipped: tuple[Skipped, ...]
    classifier: str | None
    features: FeatureSets
    searched: Tensor


@dataclass(frozen=True)
class _ByClass:
    """The part that needs labels."""

    figures: tuple[Figure, ...] = ()
    classes: tuple[ClassRow, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    classifier: str | None = None


def measure(
    samples: Samples, setting: Setting, on_stage: StageHook = ignore_stage, *, quick: bool = False
) -> Measured:
    """Measure as many samples as the setting has real images on each side.

    `quick` leaves out what trains a classifier, and searches 10,000 training images for copies.
    """
    figures: list[Figure] = []
    on_stage("features", 0.0)
    searched = _searched(setting) if quick else setting.split.train
    sets = _feature_sets(samples, setting, searched)
    stages = [
        (0.30, "distributions", distribution_figures),
        (0.45, "neighbourhoods", neighbourhood_figures),
        (0.55, "two-sample test", two_sample_figures),
        (0.65, "memorisation", memorisation_figures),
    ]
    for done, stage, make in stages:
        if quick and make is two_sample_figures:
            continue
        on_stage(stage, done)
        figures += make(sets, setting.terms)
    on_stage("classes", 0.70)
    by_class = _measure_classes(samples, setting, sets, on_stage, quick=quick)
    skipped = by_class.skipped
    if quick:
        skipped = (Skipped(figures=TWO_SAMPLE_FIGURES, reason=_NOT_QUICK), *skipped)
    return Measured(
        (*figures, *by_class.figures), by_class.classes, skipped, by_class.classifier, sets, searched
    )


def _searched(setting: Setting) -> Tensor:
    """Positions of at most 10,000 training images, the picked ones among them, rising."""
    train, rng = setting.split.train, random_stream(setting.terms.seed, "evaluation/searched")
    shuffled = train[torch.randperm(len(train), generator=rng)]
    others = shuffled[~torch.isin(shuffled, setting.train)]
    return torch.cat([setting.train, others[: max(0, QUICK_SEARCHED - len(setting.train))]]).sort().values


def _feature_sets(samples: Samples, setting: Setting, searched: Tensor) -> FeatureSets:
    extractor = setting.terms.extractor
    all_train = extractor.features(setting.images(searched))
    # Positions rise, so the picked ones can be found among them again.
    picked = torch.searchsorted(searched, setting.train)
    return FeatureSets(
        fake=extractor.features(samples.images),
        test=extractor.features(setting.images(setting.test)),
        train=all_train[picked],
        all_train=all_train,
        training_images=len(setting.split.train),
    )


def _measure_classes(
    samples: Samples, setting: Setting, features: FeatureSets, on_stage: StageHook, *, quick: bool
) -> _ByClass:
    """The figures that need labels."""
    labels, requested = setting.labels, samples.requested
    if labels is None:
        why = "the data set has no classes"
        return _ByClass(skipped=(Skipped(figures=(*CLASS_FIGURES, *TRANSFER_FIGURES), reason=why),))
    sets = LabelledSets(
        fake=samples.images,
        requested=requested,
        test=setting.labelled(setting.test, labels),
        train=setting.labelled(setting.train, labels),
        classes=setting.dataset.classes,
    )
    if quick and classifier_of(setting.terms.extractor, sets.classes) is None:
        return _ByClass(skipped=(Skipped(figures=(*CLASS_FIGURES, *TRANSFER_FIGURES), reason=_NOT_QUICK),))
    said = judge_classes(features, sets, setting.terms)
    figures, rows = class_figures(sets, said, setting.terms)
    if requested is None:
        why = "the samples were made without asking for classes"
        missing = Skipped(figures=("label_accuracy", *TRANSFER_FIGURES), reason=why)
        return _ByClass(figures, rows, (missing,), said.judge)
    if quick:
        missing = Skipped(figures=TRANSFER_FIGURES, reason=_NOT_QUICK)
        return _ByClass(figures, rows, (missing,), said.judge)
    on_stage("train on synthetic, test on real", 0.75)
    figures = (*figures, *transfer_figures(sets, requested, said.transfer_floor, setting.terms))
    return _ByClass(figures, rows, (), said.judge)


def reading_warnings(setting: Setting, *, seen_in_training: bool | None) -> tuple[str, ...]:
    """What a reader of the figures must know, in sentences."""
    extractor, n = setting.terms.extractor, setting.terms.n
    warnings = list(extractor.warnings)
    if n < 2 * extractor.size:
        warnings.append(
            f"{n:,} samples are few for {extractor.size} features: much of the Fréchet distance is then bias, "
            "which the floor has too. Read it beside its floor, and trust the kernel distance more."
        )
    if seen_in_training:
        warnings.append(
            "The generator was trained on the held-out images too. The floors are right, but nearness to "
            "training images tells less, and every figure may flatter a generator that memorises."
        )
    if seen_in_training is None:
        warnings.append(
            "It is not known whether the generator was trained on the held-out images: it comes from elsewhere."
        )
    return (*warnings, *_extractor_warnings(setting))


def _extractor_warnings(setting: Setting) -> tuple[str, ...]:
    extractor, split = setting.terms.extractor, setting.split
    if not isinstance(extractor, ClassifierExtractor):
        return ()
    document = extractor.document
    warning = None
    data = setting.dataset
    if split.is_own and document.dataset_sha256 == data.training_sha256:
        return ()
    if document.dataset_sha256 != data.content_sha256:
        warning = (
            f"The feature network learned from other data ({document.dataset}): "
            "what it did not need to tell those images apart, it may not see here."
        )
    elif document.holdout < split.holdout or document.split_seed != split.seed:
        warning = (
            "The feature network learned from some of the held-out images "
            f"(it held out {document.holdout:.0%}, this evaluation {split.holdout:.0%})."
        )
    return () if warning is None else (warning,)

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
    distribution_figures,
    judge_classes,
    memorisation_figures,
    neighbourhood_figures,
    transfer_figures,
    two_sample_figures,
)

StageHook = Callable[[str, float], None]
"""(stage that begins, share of all work that is done, 0..1). What it raises ends the evaluation."""

CLASS_FIGURES = ("rarest_class", "label_accuracy")
TRANSFER_FIGURES = ("train_on_synthetic_accuracy", "train_on_synthetic_macro_f1")


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
    """What came out."""

    figures: tuple[Figure, ...]
    classes: tuple[ClassRow, ...]
    skipped: tuple[Skipped, ...]
    classifier: str | None


def measure(samples: Samples, setting: Setting, on_stage: StageHook = ignore_stage) -> Measured:
    """Measure as many samples as the setting has real images on each side."""
    figures: list[Figure] = []
    on_stage("features", 0.0)
    sets = _feature_sets(samples, setting)
    for done, stage, make in (
        (0.30, "distributions", distribution_figures),
        (0.45, "neighbourhoods", neighbourhood_figures),
        (0.55, "two-sample test", two_sample_figures),
        (0.65, "memorisation", memorisation_figures),
    ):
        on_stage(stage, done)
        figures += make(sets, setting.terms)
    on_stage("classes", 0.70)
    by_class = _measure_classes(samples, setting, sets, on_stage)
    return Measured((*figures, *by_class.figures), by_class.classes, by_class.skipped, by_class.classifier)


def _feature_sets(samples: Samples, setting: Setting) -> FeatureSets:
    extractor = setting.terms.extractor
    all_train = extractor.features(setting.images(setting.split.train))
    # Positions rise, so the picked ones can be found among them again.
    picked = torch.searchsorted(setting.split.train, setting.train)
    return FeatureSets(
        fake=extractor.features(samples.images),
        test=extractor.features(setting.images(setting.test)),
        train=all_train[picked],
        all_train=all_train,
    )


def _measure_classes(
    samples: Samples, setting: Setting, features: FeatureSets, on_stage: StageHook
) -> Measured:
    """The figures that need labels."""
    labels, requested = setting.labels, samples.requested
    if labels is None:
        why = "the data set has no classes"
        return Measured((), (), (Skipped(figures=(*CLASS_FIGURES, *TRANSFER_FIGURES), reason=why),), None)
    sets = LabelledSets(
        fake=samples.images,
        requested=requested,
        test=setting.labelled(setting.test, labels),
        train=setting.labelled(setting.train, labels),
        classes=setting.dataset.classes,
    )
    said = judge_classes(features, sets, setting.terms)
    figures, rows = class_figures(sets, said, setting.terms)
    if requested is None:
        why = "the samples were made without asking for classes"
        missing = Skipped(figures=("label_accuracy", *TRANSFER_FIGURES), reason=why)
        return Measured(figures, rows, (missing,), said.judge)
    on_stage("train on synthetic, test on real", 0.75)
    figures = (*figures, *transfer_figures(sets, requested, said.transfer_floor, setting.terms))
    return Measured(figures, rows, (), said.judge)


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
    if document.dataset_sha256 != setting.dataset.content_sha256:
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

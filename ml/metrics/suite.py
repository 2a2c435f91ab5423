"""All figures of one set of samples against one data set, each with its floor."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ml.features.classifier import SmallClassifier, predict
from ml.features.extractor import ClassifierExtractor, FeatureExtractor
from ml.metrics.classes import accuracy_by_class, tally_classes
from ml.metrics.frechet import frechet_distance
from ml.metrics.kernel import kernel_distance
from ml.metrics.memorisation import NEAR, memorisation
from ml.metrics.neighbours import neighbourhood, squared_radii
from ml.metrics.report import Better, ClassRow, Figure
from ml.metrics.smoothness import Smoothness
from ml.metrics.transfer import LabelledImages, fit_transfer_classifier, transfer_scores
from ml.metrics.two_sample import two_sample_test

MOST_SEARCHED = 5000
"""Samples whose nearest training image is looked for: the search goes through all training images."""


@dataclass(frozen=True)
class Terms:
    """What all figures of one evaluation have in common."""

    n: int
    seed: int
    split: str
    extractor: FeatureExtractor

    def figure(
        self,
        name: str,
        value: float,
        floor: float | None,
        better: Better,
        *,
        reference: str = "held-out images",
        uncertainty: float | None = None,
        n: int | None = None,
        space: str | None = None,
    ) -> Figure:
        """A figure with these terms; `space` other than the extractor's is said so."""
        extractor = self.extractor
        return Figure(
            name=name,
            value=value,
            floor=floor,
            better=better,
            uncertainty=uncertainty,
            n=n or self.n,
            reference=reference,
            space=space or f"{extractor.name} {extractor.sha256[:12]}",
            resize=extractor.resize,
            split=self.split,
            seed=self.seed,
        )


@dataclass(frozen=True)
class FeatureSets:
    """Features of the samples, of as many real images of either side, and of the training images searched.

    Attributes:
        training_images: how many there are; `all_train` may be some of them.
    """

    fake: Tensor
    test: Tensor
    train: Tensor
    all_train: Tensor
    training_images: int


def distribution_figures(sets: FeatureSets, terms: Terms) -> Iterator[Figure]:
    """Fréchet and kernel distance: how far the samples are from the held-out images, as a whole."""
    yield terms.figure(
        "frechet_distance",
        frechet_distance(sets.test, sets.fake),
        frechet_distance(sets.test, sets.train),
        "lower",
    )
    of_fake = kernel_distance(sets.test, sets.fake, seed=terms.seed)
    of_train = kernel_distance(sets.test, sets.train, seed=terms.seed)
    yield terms.figure(
        "kernel_distance", of_fake.value, of_train.value, "lower", uncertainty=of_fake.spread or None
    )


def neighbourhood_figures(sets: FeatureSets, terms: Terms) -> Iterator[Figure]:
    """Precision, recall, density and coverage: plausible samples, and all kinds of them."""
    radii = squared_radii(sets.test)
    of_fake, of_train = (
        neighbourhood(sets.test, points, real_radii=radii) for points in (sets.fake, sets.train)
    )
    for name in of_fake._fields:
        better: Better = "one" if name == "density" else "higher"
        yield terms.figure(name, getattr(of_fake, name), getattr(of_train, name), better)


def two_sample_figures(sets: FeatureSets, terms: Terms) -> Iterator[Figure]:
    """Can a classifier tell samples from held-out images?"""
    of_fake = two_sample_test(sets.test, sets.fake, seed=terms.seed)
    of_train = two_sample_test(sets.test, sets.train, seed=terms.seed)
    for name in ("accuracy", "precision", "recall", "f1"):
        uncertainty = of_fake.chance if name == "accuracy" else None
        value, floor = getattr(of_fake, name), getattr(of_train, name)
        yield terms.figure(f"two_sample_{name}", value, floor, "half", uncertainty=uncertainty)


def memorisation_figures(sets: FeatureSets, terms: Terms) -> Iterator[Figure]:
    """How near samples come to training images; the floor is what held-out images do, by definition."""
    n = min(terms.n, MOST_SEARCHED)
    found = memorisation(sets.all_train, sets.test[:n], sets.fake[:n])
    searched, there = len(sets.all_train), sets.training_images
    reference = (
        f"all {there} training images" if searched == there else f"{searched} of {there} training images"
    )
    yield terms.figure("nearest_training_ratio", found.ratio, 1.0, "one", reference=reference, n=n)
    chance = (NEAR * (1 - NEAR) / n) ** 0.5
    yield terms.figure(
        "nearest_training_copies", found.copies, NEAR, "lower", reference=reference, uncertainty=chance, n=n
    )


def smoothness_figures(found: Smoothness, terms: Terms, *, walks: int) -> Iterator[Figure]:
    """Steps in the latent space; real images have none, so there is no floor."""
    reference = "walks between random latents"
    yield terms.figure("latent_detour", found.detour, None, "one", reference=reference, n=walks)
    yield terms.figure("latent_largest_step", found.largest_step, None, "lower", reference=reference, n=walks)


@dataclass(frozen=True)
class LabelledSets:
    """Samples with the classes they were asked to have (None without), and real images with theirs."""

    fake: Tensor
    requested: Tensor | None
    test: LabelledImages
    train: LabelledImages
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Verdicts:
    """What a classifier that learned from real images says each image shows, int64 [n] each, and who it is.

    Attributes:
        transfer_floor: the classifier, if it is the one that the floor of "train on synthetic" asks for.
    """

    judge: str
    transfer_floor: SmallClassifier | None
    fake: Tensor
    test: Tensor
    train: Tensor


def classifier_of(extractor: FeatureExtractor, classes: tuple[str, ...]) -> ClassifierExtractor | None:
    """The extractor, if it is itself a classifier of these classes."""
    if isinstance(extractor, ClassifierExtractor) and extractor.document.classes == classes:
        return extractor
    return None


def judge_classes(features: FeatureSets, sets: LabelledSets, terms: Terms) -> Verdicts:
    """Ask the extractor's own classifier if it knows these classes, else train one on the real training images."""
    known = classifier_of(terms.extractor, sets.classes)
    if known is not None:
        name, classify = f"{known.name} {known.sha256[:12]}", known.network.classify
        return Verdicts(name, None, *(classify(of) for of in (features.fake, features.test, features.train)))
    network = fit_transfer_classifier(sets.train, class_count=len(sets.classes), seed=terms.seed)
    name, images = (
        f"trained on {terms.n} real training images",
        (sets.fake, sets.test.images, sets.train.images),
    )
    return Verdicts(name, network, *(predict(network, of) for of in images))


def class_figures(
    sets: LabelledSets, said: Verdicts, terms: Terms
) -> tuple[tuple[Figure, ...], tuple[ClassRow, ...]]:
    """Counts for each class and, where classes were asked for, how often the right one was made."""
    size, truth = len(sets.classes), sets.test.labels
    tally = tally_classes(said.fake, predicted_real=said.test, class_count=size, requested=sets.requested)
    floor = tally_classes(said.train, predicted_real=said.test, class_count=size, requested=None)
    figures = [terms.figure("rarest_class", tally.rarest, floor.rarest, "higher", space=said.judge)]
    if sets.requested is not None:
        value, best = _share_equal(said.fake, sets.requested), _share_equal(said.test, truth)
        reference = "requested classes"
        figures.append(
            terms.figure("label_accuracy", value, best, "higher", space=said.judge, reference=reference)
        )
    of_real = accuracy_by_class(said.test, truth, size)
    rows = tuple(
        ClassRow(
            name=name,
            count=int(tally.counts[c]),
            expected=round(float(tally.expected[c]), 2),
            accuracy=None if tally.accuracy is None else _finite(tally.accuracy[c]),
            floor_accuracy=_finite(of_real[c]),
        )
        for c, name in enumerate(sets.classes)
    )
    return tuple(figures), rows


def transfer_figures(
    sets: LabelledSets, requested: Tensor, floor: SmallClassifier | None, terms: Terms
) -> Iterator[Figure]:
    """Train on synthetic, test on real; the floor trains on as many real images, unless that was done already."""
    size, fakes = len(sets.classes), LabelledImages(sets.fake, requested)
    taught_by_fakes = fit_transfer_classifier(fakes, class_count=size, seed=terms.seed)
    taught_by_reals = floor or fit_transfer_classifier(sets.train, class_count=size, seed=terms.seed)
    of_fake, of_real = (
        transfer_scores(taught_by_fakes, sets.test),
        transfer_scores(taught_by_reals, sets.test),
    )
    for name in of_fake._fields:
        value, best = getattr(of_fake, name), getattr(of_real, name)
        yield terms.figure(f"train_on_synthetic_{name}", value, best, "higher", space="pixels")


def _share_equal(first: Tensor, second: Tensor) -> float:
    return float((first == second).double().mean())


def _finite(value: Tensor) -> float | None:
    return float(value) if bool(torch.isfinite(value)) else None

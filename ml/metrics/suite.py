"""All figures of one set of samples against one data set, each with its floor."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ml.features.classifier import SmallClassifier, predict
from ml.features.extractor import ClassifierExtractor, FeatureExtractor
from ml.metrics.classes import tally_classes
from ml.metrics.frechet import frechet_distance
from ml.metrics.kernel import kernel_distance
from ml.metrics.memorisation import NEAR, memorisation
from ml.metrics.neighbours import neighbourhood
from ml.metrics.report import Better, ClassRow, Figure
from ml.metrics.smoothness import Smoothness
from ml.metrics.transfer import LabelledImages, fit_transfer_classifier, transfer_scores
from ml.metrics.two_sample import two_sample_test


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
    """Features of the samples, of as many real images of either side, and of all training images."""

    fake: Tensor
    test: Tensor
    train: Tensor
    all_train: Tensor


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
    of_fake, of_train = neighbourhood(sets.test, sets.fake), neighbourhood(sets.test, sets.train)
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
    found = memorisation(sets.all_train, sets.test, sets.fake)
    reference = f"all {len(sets.all_train)} training images"
    yield terms.figure("nearest_training_ratio", found.ratio, 1.0, "one", reference=reference)
    chance = (NEAR * (1 - NEAR) / terms.n) ** 0.5
    yield terms.figure(
        "nearest_training_copies", found.copies, NEAR, "lower", reference=reference, uncertainty=chance
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
class Judge:
    """The classifier that says what a sample shows, and who it is.

    Attributes:
        is_transfer_floor: it is the one that the floor of "train on synthetic" asks for, trained already.
    """

    network: SmallClassifier
    name: str
    is_transfer_floor: bool


def choose_judge(sets: LabelledSets, terms: Terms) -> Judge:
    """The extractor's own classifier if it knows these classes, else one trained on the real training images."""
    extractor = terms.extractor
    if isinstance(extractor, ClassifierExtractor) and extractor.document.classes == sets.classes:
        return Judge(extractor.network, f"{extractor.name} {extractor.sha256[:12]}", is_transfer_floor=False)
    network = fit_transfer_classifier(sets.train, class_count=len(sets.classes), seed=terms.seed)
    name = f"trained on {terms.n} real training images for this evaluation"
    return Judge(network, name, is_transfer_floor=True)


def class_figures(
    sets: LabelledSets, judge: Judge, terms: Terms
) -> tuple[tuple[Figure, ...], tuple[ClassRow, ...]]:
    """Counts for each class and, where classes were asked for, how often the right one was made."""
    said_fake, said_test, said_train = (
        predict(judge.network, images) for images in (sets.fake, sets.test.images, sets.train.images)
    )
    size = len(sets.classes)
    tally = tally_classes(said_fake, predicted_real=said_test, class_count=size, requested=sets.requested)
    real = tally_classes(
        said_test, predicted_real=sets.test.labels, class_count=size, requested=sets.test.labels
    )
    floor = tally_classes(said_train, predicted_real=said_test, class_count=size, requested=None)
    figures = [terms.figure("rarest_class", tally.rarest, floor.rarest, "higher", space=judge.name)]
    if sets.requested is not None:
        accuracy = _share_equal(said_fake, sets.requested)
        floor_accuracy = _share_equal(said_test, sets.test.labels)
        figures.append(
            terms.figure(
                "label_accuracy",
                accuracy,
                floor_accuracy,
                "higher",
                space=judge.name,
                reference="requested classes",
            )
        )
    rows = tuple(
        ClassRow(
            name=name,
            count=int(tally.counts[c]),
            expected=round(float(tally.expected[c]), 2),
            accuracy=None if tally.accuracy is None else _finite(tally.accuracy[c]),
            floor_accuracy=None if real.accuracy is None else _finite(real.accuracy[c]),
        )
        for c, name in enumerate(sets.classes)
    )
    return tuple(figures), rows


def transfer_figures(sets: LabelledSets, requested: Tensor, judge: Judge, terms: Terms) -> Iterator[Figure]:
    """Train on synthetic, test on real; the floor trains on as many real images."""
    size, fakes = len(sets.classes), LabelledImages(sets.fake, requested)
    taught_by_fakes = fit_transfer_classifier(fakes, class_count=size, seed=terms.seed)
    if judge.is_transfer_floor:
        taught_by_reals = judge.network
    else:
        taught_by_reals = fit_transfer_classifier(sets.train, class_count=size, seed=terms.seed)
    of_fake, of_real = (
        transfer_scores(taught_by_fakes, sets.test),
        transfer_scores(taught_by_reals, sets.test),
    )
    for name in of_fake._fields:
        value, floor = getattr(of_fake, name), getattr(of_real, name)
        yield terms.figure(f"train_on_synthetic_{name}", value, floor, "higher", space="pixels")


def _share_equal(first: Tensor, second: Tensor) -> float:
    return float((first == second).double().mean())


def _finite(value: Tensor) -> float | None:
    return float(value) if bool(torch.isfinite(value)) else None

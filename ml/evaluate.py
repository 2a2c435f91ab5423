"""Evaluate a generator honestly: every figure with its n, its split, its feature network and its floor.

    from ml.data.builtin import load_builtin
    from ml.evaluate import evaluate

    report = evaluate(Path("run/snapshot"), load_builtin("digits"))
    report.figure("frechet_distance").value

Samples are compared with real images that training held out, at equal numbers. The floor of a figure is the same
computation with real training images in the samples' place.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ml.checkpoint import Snapshot, SnapshotDocument, load_snapshot, software_versions
from ml.data.packed import PackedDataset
from ml.environment import default_device
from ml.errors import MlError
from ml.metrics.measure import Measured, Samples, StageHook, ignore_stage, measure, reading_warnings
from ml.metrics.report import EvaluationReport, ExtractorRecord, Figure, Skipped, SplitRecord
from ml.metrics.setting import Setting, prepare_setting
from ml.metrics.smoothness import WALKS, latent_smoothness
from ml.metrics.suite import FeatureSets, smoothness_figures
from ml.sample import SampleItem, Sampler
from ml.seeds import random_stream

__all__ = [
    "EvaluationReport",
    "QuickEvaluation",
    "StageHook",
    "evaluate",
    "evaluate_images",
    "evaluate_quickly",
]

LATENT_FIGURES = ("latent_detour", "latent_largest_step")

_SAMPLING_SHARE = 0.3
"""Of the work; the rest is measuring."""
_ROUND_IMAGES = 512


def evaluate(
    snapshot: Path,
    dataset: PackedDataset,
    *,
    n: int | None = None,
    seed: int = 0,
    truncation: float = 1.0,
    holdout: float | None = None,
    extractor: str | None = None,
    device: torch.device | None = None,
    on_stage: StageHook = ignore_stage,
) -> EvaluationReport:
    """Sample a generator and measure it against a data set.

    A generator with classes is asked for the classes of the held-out images it is compared with.

    Args:
        snapshot: folder of a snapshot.
        dataset: what it learned from, or should have.
        n: samples, and real images on each side; at least 50. None takes 10,000 or as many as are held out.
        seed: of the samples and every random choice, 0 to 2^53 - 1.
        truncation: factor on the noise, as in sampling.
        holdout: share of images held out. None takes what the training run held out, else 10 %.
        extractor: name or file of a feature extractor; None chooses by the data.
        device: where samples are made; None takes a GPU if there is one. Figures are computed on the CPU.
        on_stage: told where the evaluation stands.

    Raises:
        InvalidCheckpointError: the snapshot is damaged.
        InvalidSampleError: the truncation is out of range.
        MlError: too few images, or a generator and a data set that do not belong together.
    """
    return _evaluate(
        snapshot,
        dataset,
        n=n,
        seed=seed,
        truncation=truncation,
        holdout=holdout,
        extractor=extractor,
        device=device or default_device(),
        on_stage=on_stage,
        quick=False,
    ).report


@dataclass(frozen=True)
class QuickEvaluation:
    """A report, and what it was made from, for those who want to show it.

    Attributes:
        report: the figures that take no training of classifiers.
        samples: the images that were measured; sample i is image i of the report's seed.
        features: of samples, held-out images and training images.
        searched: which training images `features.all_train` are, positions in the data set.
    """

    report: EvaluationReport
    samples: Samples
    features: FeatureSets
    searched: Tensor


def evaluate_quickly(
    snapshot: Path,
    dataset: PackedDataset,
    *,
    n: int,
    seed: int = 0,
    device: torch.device | None = None,
    on_stage: StageHook = ignore_stage,
) -> QuickEvaluation:
    """Measure what takes a second or two: distances, precision and recall, copies, classes where they are known.

    Args:
        n: samples, and real images on each side; fewer where fewer are held out.

    Other arguments and errors are those of `evaluate`.
    """
    return _evaluate(
        snapshot,
        dataset,
        n=n,
        seed=seed,
        truncation=1.0,
        holdout=None,
        extractor=None,
        device=device or default_device(),
        on_stage=on_stage,
        quick=True,
    )


def _evaluate(
    snapshot: Path,
    dataset: PackedDataset,
    *,
    n: int | None,
    seed: int,
    truncation: float,
    holdout: float | None,
    extractor: str | None,
    device: torch.device,
    on_stage: StageHook,
    quick: bool,
) -> QuickEvaluation:
    started = time.monotonic()
    loaded = load_snapshot(snapshot)
    document = loaded.document
    _check_pair(loaded, dataset)
    held_out = _held_out_share(document)
    setting = prepare_setting(
        dataset,
        n=n,
        seed=seed,
        holdout=holdout or held_out or None,
        extractor=extractor,
        match_classes=bool(document.classes and dataset.classes),
        at_most=quick,
    )
    samples = _sample(Sampler.load(snapshot, device=device), setting, truncation, on_stage)
    measured = measure(
        samples,
        setting,
        lambda stage, done: on_stage(stage, _SAMPLING_SHARE + done * (1 - _SAMPLING_SHARE)),
        quick=quick,
    )
    if quick:
        why = Skipped(
            figures=LATENT_FIGURES, reason="a quick evaluation does not walk through the latent space"
        )
        measured = replace(measured, skipped=(*measured.skipped, why))
    else:
        measured = replace(measured, figures=(*measured.figures, *_walk(loaded, setting, device)))
    is_own_data = document.dataset.get("content_sha256") == dataset.content_sha256
    report = _report(
        measured,
        setting,
        subject={
            "kind": "snapshot",
            "sha256": loaded.sha256,
            "recipe": document.recipe,
            "images_seen": document.images_seen,
            "truncation": truncation,
        },
        seen_in_training=held_out < setting.split.holdout if is_own_data else None,
        started=started,
    )
    return QuickEvaluation(report, samples, measured.features, measured.searched)


def _held_out_share(document: SnapshotDocument) -> float:
    """The share that training never saw: as the snapshot says; of one without that word, as its settings say."""
    if document.holdout is not None:
        return document.holdout.share
    return float(document.config.get("holdout") or 0.0)


def evaluate_images(
    images: Tensor,
    dataset: PackedDataset,
    *,
    requested: Tensor | None = None,
    seed: int = 0,
    holdout: float | None = None,
    extractor: str | None = None,
    on_stage: StageHook = ignore_stage,
) -> EvaluationReport:
    """Measure images that are there already: all but the figures of the latent space.

    Args:
        images: uint8 [n, C, H, W] of the data set's shape. At most as many as either side of the split has.
        dataset: what they should be like.
        requested: the class each was asked to have, int64 [n]; None if there is none.

    Other arguments and errors are those of `evaluate`.
    """
    started = time.monotonic()
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != dataset.image_shape:
        raise MlError(
            "evaluation.shape",
            f"The images are {images.dtype} {list(images.shape[1:])}; those of {dataset.name} are torch.uint8 "
            f"{list(dataset.image_shape)}. Bring them to that size and to 8 bits first.",
        )
    setting = prepare_setting(dataset, n=len(images), seed=seed, holdout=holdout, extractor=extractor)
    measured = measure(Samples(images, requested), setting, on_stage)
    no_latents = Skipped(figures=LATENT_FIGURES, reason="images alone have no latent space")
    measured = replace(measured, skipped=(*measured.skipped, no_latents))
    return _report(measured, setting, subject={"kind": "images"}, seen_in_training=None, started=started)


def _check_pair(snapshot: Snapshot, dataset: PackedDataset) -> None:
    spec, classes = snapshot.document.generator, snapshot.document.classes
    made = (spec.image_channels, spec.px, spec.px)
    if made != dataset.image_shape:
        raise MlError(
            "evaluation.shape",
            f"The generator makes images of {list(made)} (channels, height, width); those of {dataset.name} are "
            f"{list(dataset.image_shape)}.",
        )
    if classes and dataset.classes and classes != dataset.classes:
        raise MlError(
            "evaluation.classes",
            f"The generator's classes ({', '.join(classes[:10])}) are not those of {dataset.name} "
            f"({', '.join(dataset.classes[:10])}). Evaluate it on data of its own classes.",
        )


def _sample(sampler: Sampler, setting: Setting, truncation: float, on_stage: StageHook) -> Samples:
    """Make one sample for each held-out image, of its class if the generator has classes."""
    n, seed = setting.terms.n, setting.terms.seed
    requested: Tensor | None = None
    if sampler.classes:
        labels = setting.labels
        requested = torch.arange(n) % len(sampler.classes) if labels is None else labels[setting.test]
    classes = [None] * n if requested is None else requested.tolist()
    items = [SampleItem(seed, i, class_index, truncation) for i, class_index in enumerate(classes)]
    images = np.empty((n, *sampler.image_shape), dtype=np.uint8)
    for i, image in sampler.sample(items):
        if i % _ROUND_IMAGES == 0:
            on_stage("samples", _SAMPLING_SHARE * i / n)
        images[i] = image
    return Samples(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), requested)


def _walk(snapshot: Snapshot, setting: Setting, device: torch.device) -> tuple[Figure, ...]:
    """Measure how evenly images change along walks through the latent space; a walk keeps to one class."""
    spec, terms = snapshot.document.generator, setting.terms
    generator = snapshot.generator.to(device)

    @torch.inference_mode()
    def features_at(latents: Tensor, walk: Tensor) -> Tensor:
        parts = []
        for z, which in zip(
            torch.split(latents, _ROUND_IMAGES), torch.split(walk, _ROUND_IMAGES), strict=True
        ):
            labels = (which % spec.classes).to(device) if spec.classes else None
            made: Tensor = generator(z.to(device), labels)
            grey_levels = made.float().mul(127.5).add(127.5).round().clamp(0, 255)
            parts.append(terms.extractor.features(grey_levels.to(torch.uint8).cpu()))
        return torch.cat(parts)

    rng = random_stream(terms.seed, "evaluation/walks")
    found = latent_smoothness(features_at, latent_size=spec.latent_size, rng=rng)
    return tuple(smoothness_figures(found, terms, walks=WALKS))


def _report(
    measured: Measured,
    setting: Setting,
    *,
    subject: dict[str, str | int | float | None],
    seen_in_training: bool | None,
    started: float,
) -> EvaluationReport:
    dataset, split, extractor = setting.dataset, setting.split, setting.terms.extractor
    return EvaluationReport(
        subject=subject,
        dataset={
            "name": dataset.name,
            "content_sha256": dataset.content_sha256,
            "count": len(dataset.images),
        },
        n=setting.terms.n,
        seed=setting.terms.seed,
        split=SplitRecord(
            method=split.method,
            holdout=split.holdout,
            seed=split.seed,
            train=len(split.train),
            test=len(split.test),
            seen_in_training=seen_in_training,
        ),
        extractor=ExtractorRecord(
            name=extractor.name,
            sha256=extractor.sha256,
            size=extractor.size,
            resize=extractor.resize,
            reason=setting.choice.reason,
        ),
        classifier=measured.classifier,
        figures=measured.figures,
        classes=measured.classes,
        skipped=measured.skipped,
        warnings=reading_warnings(setting, seen_in_training=seen_in_training),
        versions=software_versions(),
        seconds=round(time.monotonic() - started, 2),
    )

"""The short look that a model card takes at a finished generator: figures with floors, and nearest neighbours."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ml.card.neighbours import Neighbours, find_neighbours
from ml.data.packed import PackedDataset
from ml.data.split import DEFAULT_HOLDOUT, split_dataset
from ml.errors import MlError
from ml.evaluate import EvaluationReport, QuickEvaluation, evaluate_quickly
from ml.features.registry import EXTRACTORS
from ml.metrics.measure import StageHook, ignore_stage
from ml.sample import SampleItem, Sampler, class_of

_SAMPLES_WITHOUT_FIGURES = 128
_SEED = 0
"""One for all cards, so that figures of versions compare."""
_MOST_SEARCHED = 10_000


SkipHook = Callable[[str, str], None]
"""(code, sentence): there are no figures, for this reason."""


def _tell_nobody(_code: str, _message: str, /) -> None: ...


@dataclass(frozen=True)
class QuickLook:
    """What was seen.

    Attributes:
        report: the figures; None if they were not measured, for the reason in `skipped`.
        neighbours: the nearest pairs; None if nothing was sampled.
        samples: uint8 [N, C, H, W], those that `neighbours` counts.
        requested: their classes, None without.
    """

    report: EvaluationReport | None
    neighbours: Neighbours | None
    samples: Tensor | None
    requested: list[int] | None
    skipped: dict[str, str] | None

    @property
    def seed(self) -> int:
        """Of the samples: sample i is image i of it."""
        return _SEED


def look(
    snapshot: Path,
    dataset: PackedDataset,
    *,
    samples: int,
    device: torch.device | None = None,
    on_stage: StageHook = ignore_stage,
    on_skip: SkipHook = _tell_nobody,
) -> QuickLook:
    """Measure a finished generator in a second or two.

    Args:
        snapshot: folder of the snapshot.
        dataset: what it learned from.
        samples: to measure, and held-out images beside them; fewer where fewer are held out. 0 measures nothing.
        device: where samples are made.
        on_stage: told where the work stands.
        on_skip: told (code, sentence) when there are no figures.
    """
    if not samples:
        return _without_figures(
            None, "card.off", "Figures were turned off: the setting card_samples is 0.", on_skip
        )
    try:
        quick = evaluate_quickly(snapshot, dataset, n=samples, seed=_SEED, device=device, on_stage=on_stage)
    except MlError as error:
        # Few held-out images are no reason not to look for copies: few training images are the likeliest to be.
        neighbours = _neighbours_alone(snapshot, dataset, device)
        return _without_figures(neighbours, error.code, error.message, on_skip)
    return QuickLook(
        report=quick.report,
        neighbours=_neighbours(quick),
        samples=quick.samples.images,
        requested=None if quick.samples.requested is None else quick.samples.requested.tolist(),
        skipped=None,
    )


_Found = tuple[Neighbours, Tensor, list[int] | None]


def _without_figures(found: _Found | None, code: str, message: str, on_skip: SkipHook) -> QuickLook:
    on_skip(code, message)
    neighbours, samples, requested = found or (None, None, None)
    return QuickLook(None, neighbours, samples, requested, {"code": code, "message": message})


def _neighbours(quick: QuickEvaluation) -> Neighbours:
    extractor = quick.report.extractor
    return find_neighbours(
        quick.features.fake,
        quick.features.all_train,
        quick.features.test,
        searched=quick.searched,
        training_images=quick.features.training_images,
        space=f"{extractor.name} {extractor.sha256[:12]}",
    )


def _neighbours_alone(snapshot: Path, dataset: PackedDataset, device: torch.device | None) -> _Found:
    """Look for copies where there are too few images for figures: among all of them, held out or not."""
    sampler = Sampler.load(snapshot, device=device or "cpu")
    labels = [class_of(i, sampler.classes) for i in range(_SAMPLES_WITHOUT_FIGURES)]
    items = [SampleItem(_SEED, i, label) for i, label in enumerate(labels)]
    made = np.stack([image for _, image in sampler.sample(items)])
    samples = torch.from_numpy(made).permute(0, 3, 1, 2).contiguous()
    extractor = EXTRACTORS.choose(dataset, split_dataset(dataset, holdout=DEFAULT_HOLDOUT)).extractor
    searched = torch.arange(min(len(dataset.images), _MOST_SEARCHED))
    neighbours = find_neighbours(
        extractor.features(samples),
        extractor.features(dataset.images[searched]),
        torch.empty(0, extractor.size),
        searched=searched,
        training_images=len(dataset.images),
        space=f"{extractor.name} {extractor.sha256[:12]}",
    )
    return neighbours, samples, [label for label in labels if label is not None] or None

"""How good samples are while training goes on: the kernel distance, the best snapshot, the plateau.

Measured after fixed numbers of images, never by the clock, with random numbers of its own: what training does is
the same with and without it, and a resumed run chooses as the unbroken one.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ml.features.extractor import ClassifierExtractor, FeatureExtractor
from ml.features.pixels import PixelExtractor
from ml.features.registry import EXTRACTORS
from ml.metrics.kernel import unbiased_mmd2
from ml.seeds import random_stream, stream_seed
from ml.training.batch_statistics import with_fresh_statistics
from ml.training.plan import Plan
from ml.training.state import TrainingState

SAMPLES = 500
SLOW_SAMPLES = 250
"""With a feature network that is slower than making the samples."""
TIMES_MORE_AT_THE_END = 5
"""The lowest of many distances is partly luck: its snapshot and the last are measured once more, on so many more."""
LEAST_SAMPLES = 50
"""Below this a kernel distance is chance."""
STATISTICS_IMAGES = 256
SPACING_SHARE = 0.05
"""Checks are at least this share of the images seen apart, so that long runs do not pay for hundreds."""
_BATCH = 125


@dataclass(frozen=True)
class _Reference:
    """What samples are compared with.

    Attributes:
        extractor: of features.
        real: features of the real images, float32 [n, D].
        labels: their classes, which samples are asked for; None for an unconditional run.
        measured_on: which real images these are.
        floor: kernel distance of as many training images; None when those are what is measured on.
    """

    extractor: FeatureExtractor
    real: Tensor
    labels: Tensor | None
    measured_on: str
    floor: float | None


@dataclass(frozen=True)
class Choice:
    """The averaged generator to publish, the images it had seen, and why: empty when nothing was measured."""

    generator: nn.Module
    images_seen: int
    record: dict[str, Any]


class Quality:
    """Measures one run, and chooses what it publishes."""

    def __init__(self, plan: Plan, state: TrainingState) -> None:
        self._plan = plan
        self._state = state
        self._reference: _Reference | None = None
        held_out = len(plan.split.test) >= LEAST_SAMPLES
        self._real = plan.split.test if held_out else plan.split.train
        self._measured_on = "held-out images" if held_out else "training images"
        self._interval = round(plan.config.kid_kimg * 1000)
        self.latest: float | None = state.best.last_kid if state.best.checks else None
        """The last kernel distance, for reports."""

    def is_due(self) -> bool:
        """Whether a measurement comes after the step just made."""
        if not self._interval or len(self._real) < LEAST_SAMPLES:
            return False
        return self._state.images_seen >= (self._state.best.due_images or self._interval)

    def measure(self) -> None:
        """Measure the averaged generator, and keep its weights if none was better.

        A broken one is passed over: the health checks deal with it.
        """
        state = self._state
        state.best.due_images = state.images_seen + max(
            self._interval, round(SPACING_SHARE * state.images_seen)
        )
        if not all(bool(value.isfinite().all()) for value in state.ema.module.parameters()):
            return
        self.latest = self._kernel_distance()
        state.best.note(self.latest, state.ema.module, images_seen=state.images_seen)
        if self.is_plateau():
            self._plan.hooks.on_event("early_stop", self._record())

    def is_plateau(self) -> bool:
        """Whether so many measurements found nothing better that the run should end."""
        patience = self._plan.config.early_stop_patience
        return 0 < patience <= self._state.best.since_best

    def measure_last(self) -> None:
        """Measure what the run ends with, if there is something to compare it with. The state stays as it is."""
        best = self._state.best
        if best.checks and best.last_images != self._state.images_seen:
            self.latest = self._kernel_distance()

    def choose(self) -> "Choice":
        """What to publish: the better of the last snapshot and the one with the lowest distance so far.

        The two are compared anew, on the same larger samples. Without any measurement it is the last.
        """
        state, best = self._state, self._state.best
        if not best.checks:
            return Choice(state.ema.module, state.images_seen, {})
        last = Choice(state.ema.module, state.images_seen, self._record())
        if best.best_images == state.images_seen:
            chosen = last
        else:
            earlier = copy.deepcopy(state.ema.module)
            earlier.load_state_dict(best.weights)
            chosen = self._better(Choice(earlier, best.best_images, last.record), last)
        self._plan.hooks.on_event("snapshot_chosen", chosen.record)
        return chosen

    def _better(self, earlier: "Choice", last: "Choice") -> "Choice":
        """Compare two snapshots on more samples than the checks on the way could afford."""
        reference = self._prepare(TIMES_MORE_AT_THE_END)
        of_earlier, of_last = (
            self._distance_of(snapshot.generator, reference, "quality/end") for snapshot in (earlier, last)
        )
        better, kid = (last, of_last) if of_last <= of_earlier else (earlier, of_earlier)
        measured = {"kid": kid, "last_kid": of_last, "n": len(reference.real), "floor": reference.floor}
        return Choice(
            better.generator,
            better.images_seen,
            better.record | {"images_seen": better.images_seen} | measured,
        )

    def _record(self) -> dict[str, Any]:
        """The last snapshot, the one with the lowest distance on the way, and what they were measured with."""
        state, best, reference = self._state, self._state.best, self._prepared()
        last = self.latest if self.latest is not None else best.last_kid
        return {
            "images_seen": state.images_seen,
            "kid": last,
            "last_images_seen": state.images_seen,
            "last_kid": last,
            "best_images_seen": best.best_images,
            "best_kid": best.best_kid,
            "checks": best.checks,
            "patience": self._plan.config.early_stop_patience,
            "measured_on": reference.measured_on,
            "n": len(reference.real),
            "floor": reference.floor,
            "extractor": reference.extractor.name,
            "extractor_sha256": reference.extractor.sha256,
        }

    def _kernel_distance(self) -> float:
        # The same noise at every check: what changes between two distances is the generator.
        return self._distance_of(self._state.ema.module, self._prepared(), "quality/noise")

    def _distance_of(self, averaged: nn.Module, reference: _Reference, noise: str) -> float:
        """Kernel distance of a generator's samples, of the noise stream so named, to the reference."""
        state, config = self._state, self._plan.config
        generator = with_fresh_statistics(
            averaged,
            latent_size=config.latent_size,
            classes=len(self._plan.classes),
            image_count=STATISTICS_IMAGES,
            seed=stream_seed(config.seed, f"statistics/{state.images_seen}"),
        )
        z = torch.randn(len(reference.real), config.latent_size, generator=random_stream(config.seed, noise))
        features = _features_of_samples(generator, z, reference.labels, reference.extractor, state.device)
        return unbiased_mmd2(reference.real, features)

    def _prepared(self) -> _Reference:
        """Real images and their features, computed when they are first needed."""
        if self._reference is None:
            self._reference = self._prepare(1)
        return self._reference

    def _prepare(self, times: int) -> _Reference:
        """Real images, so many times more than for a check on the way, as far as there are."""
        dataset, split = self._plan.dataset, self._plan.split
        extractor = EXTRACTORS.choose(dataset, split).extractor
        most = SAMPLES if isinstance(extractor, ClassifierExtractor | PixelExtractor) else SLOW_SAMPLES
        rng = random_stream(self._plan.config.seed, "quality/real")
        picked = _some(self._real, most * times, rng)
        real = extractor.features(dataset.images[picked])
        floor = None
        if self._real is split.test:
            like = _some(split.train, len(picked), rng)
            floor = unbiased_mmd2(real, extractor.features(dataset.images[like]))
        labels = None if dataset.labels is None or not self._plan.classes else dataset.labels[picked]
        return _Reference(extractor, real, labels, self._measured_on, floor)


@torch.inference_mode()
def _features_of_samples(
    generator: nn.Module,
    z: Tensor,
    labels: Tensor | None,
    extractor: FeatureExtractor,
    device: torch.device,
) -> Tensor:
    """Features of what the generator makes of this noise, through 8 bits as every file goes: [N, D]."""
    parts = []
    for first in range(0, len(z), _BATCH):
        asked = None if labels is None else labels[first : first + _BATCH].to(device)
        images: Tensor = generator(z[first : first + _BATCH].to(device), asked)
        grey_levels = images.float().mul(127.5).add(127.5).round().clamp(0, 255)
        parts.append(extractor.features(grey_levels.to(torch.uint8).cpu()))
    return torch.cat(parts)


def _some(side: Tensor, count: int, rng: torch.Generator) -> Tensor:
    return side[torch.randperm(len(side), generator=rng)[:count]]

"""The penalties a config asks for, each computed every so many steps only."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ml.catalog import GanConfig
from ml.regularizers.dragan import dragan_penalty
from ml.regularizers.gradient_penalty import gradient_penalty
from ml.regularizers.gradients import Judge
from ml.regularizers.weights import l1_penalty, l2_penalty
from ml.regularizers.zero_centred import r1_penalty, r2_penalty


@dataclass(frozen=True, slots=True)
class PenaltyInput:
    """What penalties look at.

    Attributes:
        discriminator: the module, for its weights.
        judge: the discriminator as a function, augmentation included.
        real_images: [N, ...].
        fake_images: [N, ...].
        labels: int64 [N] or None.
        rng: stream for random points and noise.
    """

    discriminator: nn.Module
    judge: Judge
    real_images: Tensor
    fake_images: Tensor
    labels: Tensor | None
    rng: torch.Generator


@dataclass(frozen=True, slots=True)
class LazyPenalty:
    """A penalty added to the discriminator's loss every `interval` steps, `interval` times as strong.

    Lazy regularisation, Karras et al. 2020 (StyleGAN2), arXiv:1912.04958, section 3.1: the mean gradient is
    that of a penalty at every step, at a fraction of the cost.
    """

    name: str
    interval: int
    compute: Callable[[PenaltyInput], Tensor]

    def is_due(self, step: int) -> bool:
        """Whether step number `step` of the run, from 0, includes this penalty."""
        return step % self.interval == 0


def penalties_of(config: GanConfig) -> tuple[LazyPenalty, ...]:
    """The penalties with a weight above 0, in a fixed order."""
    wanted: tuple[tuple[str, float, int, Callable[[PenaltyInput, float], Tensor]], ...] = (
        ("r1", config.r1_gamma, config.r1_interval, _r1),
        ("r2", config.r2_gamma, config.r2_interval, _r2),
        (
            "gradient_penalty",
            config.gradient_penalty_weight,
            config.gradient_penalty_interval,
            _gradient_penalty,
        ),
        ("dragan", config.dragan_weight, config.dragan_interval, _dragan),
        ("l1", config.l1_weight, config.weight_penalty_interval, _l1),
        ("l2", config.l2_weight, config.weight_penalty_interval, _l2),
    )
    return tuple(
        LazyPenalty(name, interval, partial(_weighted, function, weight * interval))
        for name, weight, interval, function in wanted
        if weight > 0
    )


def penalty_sum(penalties: tuple[LazyPenalty, ...], given: PenaltyInput, *, step: int) -> Tensor | None:
    """The sum of the penalties due at this step, or None when there is none."""
    due = [penalty.compute(given) for penalty in penalties if penalty.is_due(step)]
    return torch.stack(due).sum() if due else None


def _weighted(
    function: Callable[[PenaltyInput, float], Tensor], weight: float, given: PenaltyInput
) -> Tensor:
    return function(given, weight)


def _r1(given: PenaltyInput, weight: float) -> Tensor:
    return r1_penalty(given.judge, given.real_images, given.labels, gamma=weight)


def _r2(given: PenaltyInput, weight: float) -> Tensor:
    return r2_penalty(given.judge, given.fake_images, given.labels, gamma=weight)


def _gradient_penalty(given: PenaltyInput, weight: float) -> Tensor:
    return gradient_penalty(
        given.judge, given.real_images, given.fake_images, given.labels, weight=weight, rng=given.rng
    )


def _dragan(given: PenaltyInput, weight: float) -> Tensor:
    return dragan_penalty(given.judge, given.real_images, given.labels, weight=weight, rng=given.rng)


def _l1(given: PenaltyInput, weight: float) -> Tensor:
    return l1_penalty(given.discriminator, weight=weight)


def _l2(given: PenaltyInput, weight: float) -> Tensor:
    return l2_penalty(given.discriminator, weight=weight)

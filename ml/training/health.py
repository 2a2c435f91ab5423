"""Whether a run is well, and what to do when it is not: warn, go back, reset, or give up.

Checks come after fixed numbers of images, never by the clock, and look at the step just made, so that a
resumed run decides as the unbroken one. The order of severity is ok, warn, rollback, reset, stop.
"""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ml.catalog import GanConfig, RecipeConfig
from ml.errors import NonFiniteLossError
from ml.hooks import Hooks
from ml.metrics.running import gradient_norm
from ml.seeds import stream_seed
from ml.training.state import TrainingState

SATURATED_LOSS = 0.01
"""A discriminator loss below this teaches the generator nothing; Wasserstein losses have no such mark."""
COLLAPSED_DIVERSITY = 0.1
"""Fakes that differ from each other by less than this share of what the real images do are one image."""
CHECKS_BEFORE_WARNING = 3
CHECKS_BEFORE_ROLLBACK = 10
STEEP_GRADIENT = 1e4
GOOD_STATE_SHARE = 0.02
"""A new good state is kept when the run has come this share of its budget further."""
FRESH_HEAD_DEVIATION = 0.02


class Verdict(enum.Enum):
    """What a check asks for."""

    OK = "ok"
    WARN = "warn"
    ROLLBACK = "rollback"
    RESET = "reset"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check.

    Attributes:
        verdict: what to do.
        code: stable reason, such as `collapse`.
        message: a sentence for people.
    """

    verdict: Verdict
    code: str = "healthy"
    message: str = ""


@dataclass(slots=True)
class Health:
    """The checks of one run; what they remember is in the training state.

    Attributes:
        config: settings of the run.
        hooks: told of every finding but `ok`.
    """

    config: RecipeConfig
    hooks: Hooks
    _told_of_steepness: bool = False

    def is_due(self, state: TrainingState) -> bool:
        """Whether a check comes after the step just made."""
        interval = max(1, round(self.config.health_kimg * 1000 / self.config.batch_size))
        return state.images_seen // self.config.batch_size % interval == 0

    def check(
        self,
        state: TrainingState,
        scalars: Mapping[str, float],
        non_finite: list[str],
        *,
        is_last: bool = False,
    ) -> Finding:
        """Look at the run and act: the state may be another one afterwards.

        Args:
            state: after a step.
            scalars: statistics of that step, finite ones only.
            non_finite: names of statistics that were NaN or infinite since the last check.
            is_last: whether the budget is used up, so that a rollback would have no time to recover.

        Raises:
            NonFiniteLossError: training broke down once more than `max_rollbacks`, or at its very end.
        """
        finding = self._judge(state, scalars, non_finite)
        if finding.verdict is Verdict.ROLLBACK and (
            state.health.rollbacks >= self.config.max_rollbacks
            or (is_last and not state.health.good_images_seen)
        ):
            verdict = Verdict.STOP if finding.code == "non_finite" else Verdict.WARN
            finding = Finding(verdict, finding.code, finding.message)
        if finding.verdict is not Verdict.OK:
            self._tell(state, finding)
        if finding.verdict is Verdict.STOP:
            raise NonFiniteLossError(
                "training.non_finite_loss",
                f"{finding.message} It went back to its last good state {state.health.rollbacks} times. Lower "
                "the learning rates, or use precision fp32.",
            )
        if finding.verdict is Verdict.ROLLBACK:
            state.roll_back(self.config.seed)
        elif finding.verdict is Verdict.RESET:
            _reset(state, self.config.seed)
        elif finding.verdict is Verdict.OK:
            self._keep_good(state)
        return finding

    def _judge(self, state: TrainingState, scalars: Mapping[str, float], non_finite: list[str]) -> Finding:
        if non_finite or not _weights_are_finite(state):
            what = ", ".join(non_finite) or "weights"
            return Finding(
                Verdict.ROLLBACK,
                "non_finite",
                f"Training broke down before image {state.images_seen:,}: {what} became NaN or infinite.",
            )
        self._count(state, scalars)
        if _is_reset_due(self.config, state):
            return Finding(Verdict.RESET, "periodic_reset", "The discriminator's last layer starts anew.")
        return self._judge_players(state, scalars)

    def _count(self, state: TrainingState, scalars: Mapping[str, float]) -> None:
        """Update the counts of bad checks in a row."""
        health = state.health
        unbounded = isinstance(self.config, GanConfig) and self.config.objective == "wasserstein"
        is_saturated = not unbounded and scalars.get("loss_discriminator", math.inf) < SATURATED_LOSS
        health.saturated = health.saturated + 1 if is_saturated else 0
        is_collapsed = scalars.get("diversity", math.inf) < COLLAPSED_DIVERSITY
        health.collapsed = health.collapsed + 1 if is_collapsed else 0

    def _judge_players(self, state: TrainingState, scalars: Mapping[str, float]) -> Finding:
        health = state.health
        if health.collapsed >= CHECKS_BEFORE_WARNING:
            message = (
                f"Samples are nearly all alike: they differ by {scalars['diversity']:.1%} of what the real "
                "images do."
            )
            return Finding(_by_count(health.collapsed), "collapse", message)
        if health.saturated >= CHECKS_BEFORE_WARNING:
            message = "The discriminator tells every fake, so the generator has nothing to learn from."
            return Finding(_by_count(health.saturated), "saturation", message)
        norms = {player: gradient_norm(module) for player, (module, _) in state.players().items()}
        steepest = max(norms, key=norms.__getitem__)
        if norms[steepest] > STEEP_GRADIENT:
            message = (
                f"The gradient of the {steepest} is {norms[steepest]:.3g} long: its step may go anywhere."
            )
            return Finding(Verdict.WARN, "steep_gradient", message)
        return Finding(Verdict.OK)

    def _tell(self, state: TrainingState, finding: Finding) -> None:
        """One event for every intervention; of warnings only the first in a row, of steep gradients the first."""
        health = state.health
        in_a_row = {"collapse": health.collapsed, "saturation": health.saturated}.get(finding.code, 0)
        if finding.verdict is Verdict.WARN and in_a_row > CHECKS_BEFORE_WARNING:
            return
        if finding.code == "steep_gradient":
            if self._told_of_steepness:
                return
            self._told_of_steepness = True
        self.hooks.on_event(
            f"health_{finding.verdict.value}",
            {
                "code": finding.code,
                "message": finding.message,
                "images_seen": state.images_seen,
                "rollbacks": health.rollbacks,
                "good_images_seen": health.good_images_seen,
            },
        )

    def _keep_good(self, state: TrainingState) -> None:
        advance = state.images_seen - state.health.good_images_seen
        if advance >= GOOD_STATE_SHARE * self.config.total_images:
            state.health.good_images_seen = state.images_seen
            state.remember_good()


def _by_count(bad_checks: int) -> Verdict:
    """Warn first; go back once every so many bad checks."""
    return Verdict.ROLLBACK if bad_checks % CHECKS_BEFORE_ROLLBACK == 0 else Verdict.WARN


def _weights_are_finite(state: TrainingState) -> bool:
    """Whether no player holds NaN or infinity. A sum of absolute values has one where a weight has one."""
    return all(
        math.isfinite(float(torch.nn.utils.get_total_norm(module.parameters(), norm_type=1.0)))
        for module, _ in state.players().values()
    )


def _is_reset_due(config: RecipeConfig, state: TrainingState) -> bool:
    if (
        not isinstance(config, GanConfig)
        or config.reset_kimg == 0
        or state.images_seen >= config.total_images
    ):
        return False
    period = max(1, round(config.reset_kimg * 1000 / config.batch_size))
    checked = max(1, round(config.health_kimg * 1000 / config.batch_size))
    steps = state.images_seen // config.batch_size
    return steps // period > (steps - checked) // period


@torch.no_grad()
def _reset(state: TrainingState, seed: int) -> None:
    """Fresh last layer of the discriminator, fresh moments of all optimisers."""
    if state.discriminator is not None:
        rng = torch.Generator().manual_seed(stream_seed(seed, f"reset at {state.images_seen}"))
        _draw(state.discriminator.head, rng)
    for _, optimizer in state.players().values():
        optimizer.state.clear()


def _draw(module: nn.Module, rng: torch.Generator) -> None:
    for parameter in module.parameters():
        if parameter.dim() > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * FRESH_HEAD_DEVIATION)
        else:
            parameter.zero_()

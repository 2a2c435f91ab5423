"""Losses against values derived by hand, and their gradients against finite differences."""

import math

import pytest
import torch
from torch import Tensor

from ml.catalog import parse_config
from ml.objectives.choose import choose_objective
from ml.objectives.non_saturating import NonSaturating
from ml.objectives.objective import Objective
from ml.objectives.saturating import Saturating

OBJECTIVES: list[Objective] = [NonSaturating(), Saturating()]


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_discriminator_loss_is_cross_entropy(objective: Objective) -> None:
    real, fake = [2.0, -1.0], [0.5, -3.0]
    by_hand = -sum(map(log_sigmoid, real)) / 2 - sum(log_sigmoid(-x) for x in fake) / 2
    loss = objective.discriminator_loss(torch.tensor(real), torch.tensor(fake))
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_discriminator_that_cannot_tell_has_loss_two_log_two(objective: Objective) -> None:
    # D = 1/2 everywhere: -log(1/2) - log(1/2), the value at the game's equilibrium (paper, theorem 1).
    loss = objective.discriminator_loss(torch.zeros(7), torch.zeros(5))
    assert loss.item() == pytest.approx(2 * math.log(2), rel=1e-6)


def test_non_saturating_generator_loss() -> None:
    loss = NonSaturating().generator_loss(torch.tensor([1.0, -2.0]))
    assert loss.item() == pytest.approx(-(log_sigmoid(1.0) + log_sigmoid(-2.0)) / 2, rel=1e-6)


def test_saturating_generator_loss() -> None:
    loss = Saturating().generator_loss(torch.tensor([1.0, -2.0]))
    assert loss.item() == pytest.approx((log_sigmoid(-1.0) + log_sigmoid(2.0)) / 2, rel=1e-6)


def test_gradients_where_the_discriminator_is_sure() -> None:
    """d/dx of -log sigmoid(x) is -sigmoid(-x); of log(1 - sigmoid(x)) it is -sigmoid(x), which vanishes."""
    for objective, expected in (
        (NonSaturating(), -1 / (1 + math.exp(-8.0))),
        (Saturating(), -1 / (1 + math.exp(8.0))),
    ):
        logit = torch.tensor([-8.0], dtype=torch.float64, requires_grad=True)
        torch.autograd.backward(objective.generator_loss(logit))
        assert logit.grad is not None
        assert logit.grad.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_losses_stay_finite_for_extreme_logits(objective: Objective) -> None:
    extreme = torch.tensor([-1e4, 1e4])
    assert objective.discriminator_loss(extreme, extreme).isfinite()
    assert objective.generator_loss(extreme, None).isfinite()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_match_finite_differences(objective: Objective) -> None:
    logits = torch.tensor([0.3, -1.2, 2.5, 0.0], dtype=torch.float64, requires_grad=True)

    def both(x: Tensor) -> Tensor:
        return objective.discriminator_loss(x[:2], x[2:]) + 0.5 * objective.generator_loss(x[1:], None)

    assert torch.autograd.gradcheck(both, (logits,))


def test_config_chooses_the_objective() -> None:
    assert isinstance(choose_objective(parse_config("dcgan", {"objective": "saturating"})), Saturating)
    assert isinstance(choose_objective(parse_config("dcgan", {})), NonSaturating)

"""Losses against values derived by hand, and their gradients against finite differences."""

import math

import pytest
import torch
from torch import Tensor

from ml.catalog import GanConfig, parse_config
from ml.objectives.choose import choose_objective
from ml.objectives.hinge import Hinge
from ml.objectives.least_squares import LeastSquares
from ml.objectives.non_saturating import NonSaturating
from ml.objectives.objective import Objective
from ml.objectives.relativistic import RelativisticPairing
from ml.objectives.saturating import Saturating
from ml.objectives.wasserstein import Wasserstein, clip_weights

CROSS_ENTROPIES: list[Objective] = [NonSaturating(), Saturating()]
OBJECTIVES: list[Objective] = [
    *CROSS_ENTROPIES,
    LeastSquares(),
    Wasserstein(),
    Hinge(),
    RelativisticPairing(),
]


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize("objective", CROSS_ENTROPIES)
def test_discriminator_loss_is_cross_entropy(objective: Objective) -> None:
    real, fake = [2.0, -1.0], [0.5, -3.0]
    by_hand = -sum(map(log_sigmoid, real)) / 2 - sum(log_sigmoid(-x) for x in fake) / 2
    loss = objective.discriminator_loss(torch.tensor(real), torch.tensor(fake))
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("objective", CROSS_ENTROPIES)
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
    assert objective.generator_loss(extreme, extreme).isfinite()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_match_finite_differences(objective: Objective) -> None:
    logits = torch.tensor([0.3, -1.2, 2.5, 0.0], dtype=torch.float64, requires_grad=True)

    def both(x: Tensor) -> Tensor:
        return objective.discriminator_loss(x[:2], x[2:]) + 0.5 * objective.generator_loss(x[:2], x[2:])

    assert torch.autograd.gradcheck(both, (logits,))


# By hand, for real logits 2, -1 and fake logits 0.5, -3.
BY_HAND: list[tuple[Objective, float, float]] = [
    # D: half the mean of 1, 4 plus half that of 0.25, 9; G: half the mean of 0.25, 16
    (LeastSquares(), 3.5625, 4.0625),
    # the means are 0.5 for the reals and -1.25 for the fakes
    (Wasserstein(), -1.75, 1.25),
    # margins missed by 0, 2 and by 1.5, 0
    (Hinge(), 1.75, 1.25),
    # the differences real - fake are 1.5 and 2
    (
        RelativisticPairing(),
        -(log_sigmoid(1.5) + log_sigmoid(2.0)) / 2,
        -(log_sigmoid(-1.5) + log_sigmoid(-2.0)) / 2,
    ),
]


@pytest.mark.parametrize(("objective", "discriminator", "generator"), BY_HAND)
def test_values_by_hand(objective: Objective, discriminator: float, generator: float) -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    assert objective.discriminator_loss(real, fake).item() == pytest.approx(discriminator, rel=1e-6)
    assert objective.generator_loss(fake, real).item() == pytest.approx(generator, rel=1e-6)


def test_hinge_ignores_images_beyond_the_margin() -> None:
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    fake = torch.tensor([-1.5, -0.5], requires_grad=True)
    torch.autograd.backward(Hinge().discriminator_loss(real, fake))
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0.0, -0.5]
    assert fake.grad.tolist() == [0.0, 0.5]


@pytest.mark.parametrize("objective", [Wasserstein(), RelativisticPairing()])
def test_only_differences_count(objective: Objective) -> None:
    """A constant added to every score changes neither game."""
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    before = objective.discriminator_loss(real, fake).item()
    assert objective.discriminator_loss(real + 7, fake + 7).item() == pytest.approx(before, abs=1e-5)


def test_relativistic_generator_loss_asks_for_real_logits() -> None:
    assert RelativisticPairing().generator_needs_real_logits
    with pytest.raises(ValueError, match="real images"):
        RelativisticPairing().generator_loss(torch.zeros(2), None)


def test_clipping_bounds_every_parameter() -> None:
    critic = torch.nn.Linear(4, 3)
    inside = critic.weight.detach().abs() < 0.2
    before = critic.weight.detach().clone()
    clip_weights(critic, 0.2)
    assert critic.weight.abs().max() <= 0.2
    assert critic.bias.abs().max() <= 0.2
    assert torch.equal(critic.weight[inside], before[inside])


def test_config_chooses_the_objective() -> None:
    assert isinstance(choose_objective(gan_config(objective="saturating")), Saturating)
    assert isinstance(choose_objective(gan_config()), NonSaturating)


def gan_config(**settings: object) -> GanConfig:
    config = parse_config("dcgan", settings)
    assert isinstance(config, GanConfig)
    return config

"""Penalties against values derived by hand, and their gradients against finite differences."""

import math

import pytest
import torch
from torch import Tensor, nn

from ml.regularizers.dragan import dragan_penalty
from ml.regularizers.gradient_penalty import gradient_penalty
from ml.regularizers.spectral_norm import normalise_spectrum
from ml.regularizers.weights import l1_penalty, l2_penalty
from ml.regularizers.zero_centred import r1_penalty, r2_penalty

WEIGHT = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
SQUARED_LENGTH = 1 + 4 + 0.25
IMAGES = torch.tensor([[0.1, 0.2, 0.3], [-1.0, 0.0, 2.0], [3.0, 1.0, -1.0]], dtype=torch.float64)


def linear_critic(images: Tensor, labels: Tensor | None) -> Tensor:
    """D(x) = w.x, whose gradient is w everywhere."""
    return images @ WEIGHT.to(images.dtype)


def test_r1_and_r2_of_a_linear_critic() -> None:
    expected = 10 / 2 * SQUARED_LENGTH
    assert r1_penalty(linear_critic, IMAGES, None, gamma=10).item() == pytest.approx(expected)
    assert r2_penalty(linear_critic, IMAGES, None, gamma=10).item() == pytest.approx(expected)


def test_r1_of_a_quadratic_critic() -> None:
    """D(x) = ||x||^2 has gradient 2x, so R1 is gamma/2 times the mean of 4 ||x||^2."""
    expected = 3 / 2 * 4 * IMAGES.square().sum(1).mean().item()
    found = r1_penalty(lambda x, _: x.square().sum(1), IMAGES, None, gamma=3)
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("real_weight", [0.0, 1.0])
def test_gradient_penalty_and_dragan_of_a_linear_critic(real_weight: float) -> None:
    """Both are weight * (||w|| - 1)^2 wherever they look, when the slope is the same everywhere."""
    expected = 10 * (math.sqrt(SQUARED_LENGTH) - 1) ** 2
    rng = torch.Generator().manual_seed(1)
    real, fake = real_weight * IMAGES, IMAGES.flip(0)
    found = gradient_penalty(linear_critic, real, fake, None, weight=10, rng=rng)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    assert dragan_penalty(linear_critic, IMAGES, None, weight=10, rng=rng).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_gradient_penalty_looks_between_real_and_fake() -> None:
    seen: list[Tensor] = []

    def critic(images: Tensor, labels: Tensor | None) -> Tensor:
        seen.append(images.detach())
        return images.sum(1)

    rng = torch.Generator().manual_seed(0)
    gradient_penalty(critic, torch.ones(200, 2), -torch.ones(200, 2), None, weight=1, rng=rng)
    (points,) = seen
    assert torch.equal(points[:, 0], points[:, 1])  # one share for the whole image
    assert points.min() >= -1
    assert points.max() <= 1
    assert abs(points.mean().item()) < 0.15  # uniform: standard error 0.04


def test_dragan_looks_around_the_data() -> None:
    seen: list[Tensor] = []

    def critic(images: Tensor, labels: Tensor | None) -> Tensor:
        seen.append(images.detach())
        return images.sum(1)

    real = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)) * 4
    dragan_penalty(critic, real, None, weight=1, rng=torch.Generator().manual_seed(1))
    assert (seen[0] - real).std().item() == pytest.approx(0.5 * real.std().item(), rel=0.05)


def test_flat_critic_has_finite_gradients() -> None:
    """The square root's slope is infinite at 0; a critic that starts constant must not give NaN."""
    layer = nn.Linear(3, 1)
    nn.init.zeros_(layer.weight)
    images = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    penalty = gradient_penalty(
        lambda x, _: layer(x).squeeze(1), images, images, None, weight=10, rng=torch.Generator()
    )
    torch.autograd.backward(penalty)
    assert penalty.item() == pytest.approx(10, rel=1e-5)
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["r1", "gradient_penalty", "dragan"])
def test_gradients_for_the_critic_match_finite_differences(kind: str) -> None:
    hidden = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    hidden.requires_grad_(True)

    def penalty(weight: Tensor) -> Tensor:
        def critic(images: Tensor, labels: Tensor | None) -> Tensor:
            return torch.tanh(images @ weight).square().sum(1)

        rng = torch.Generator().manual_seed(3)
        if kind == "r1":
            return r1_penalty(critic, IMAGES, None, gamma=2)
        if kind == "dragan":
            return dragan_penalty(critic, IMAGES, None, weight=2, rng=rng)
        return gradient_penalty(critic, IMAGES, IMAGES.flip(0), None, weight=2, rng=rng)

    (found,) = torch.autograd.grad(penalty(hidden), hidden)
    step = 1e-6
    for row, column in ((0, 0), (1, 2), (2, 3)):
        shift = torch.zeros_like(hidden)
        shift[row, column] = step
        difference = (penalty(hidden + shift) - penalty(hidden - shift)) / (2 * step)
        assert found[row, column].item() == pytest.approx(difference.item(), rel=1e-6, abs=1e-7)


def test_l1_and_l2_leave_biases_alone() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        layer.bias.fill_(100.0)
    assert l1_penalty(layer, weight=0.1).item() == pytest.approx(0.6)
    assert l2_penalty(layer, weight=0.1).item() == pytest.approx(0.1 / 2 * 14)


def test_spectral_norm_bounds_the_slope_of_each_layer() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Embedding(4, 7))
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=3.0)
    normalise_spectrum(module)
    for layer in module.children():
        if isinstance(layer, nn.ReLU):
            continue
        for _ in range(50):  # one power iteration each
            weight = layer.get_parameter("parametrizations.weight.original")
            normalised = layer.get_submodule("parametrizations").get_submodule("weight")()
        largest = torch.linalg.matrix_norm(normalised.flatten(1), ord=2).item()
        assert largest == pytest.approx(1.0, rel=1e-3)
        assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() > 2

"""Eight Gaussians on a circle: the smallest data on which a generator can drop modes (Metz et al. 2017)."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from ml.catalog import GanConfig, parse_config
from ml.networks.discriminator import Discriminator
from ml.regularizers.spectral_norm import normalise_spectrum
from ml.training.state import TrainingState
from ml.training.steps.choose import choose_step

MODES = 8
RADIUS = 0.7
DEVIATION = 0.02
BATCH = 64
HIDDEN = 64


def draw_mixture(count: int, rng: torch.Generator) -> Tensor:
    """Points float32 [count, 2] of the mixture."""
    angle = torch.randint(0, MODES, (count,), generator=rng) * (2 * math.pi / MODES)
    centres = RADIUS * torch.stack((angle.cos(), angle.sin()), dim=1)
    return centres + DEVIATION * torch.randn(count, 2, generator=rng)


def modes_found(points: Tensor) -> tuple[int, float]:
    """(modes with at least a quarter of their share of points close by, share of points close to a mode)."""
    angles = torch.arange(MODES) * (2 * math.pi / MODES)
    centres = RADIUS * torch.stack((angles.cos(), angles.sin()), dim=1)
    distance, nearest = torch.cdist(points, centres).min(dim=1)
    close = distance < 0.15
    counts = torch.bincount(nearest[close], minlength=MODES)
    return int((counts >= len(points) / MODES / 4).sum()), close.float().mean().item()


class VectorGenerator(nn.Module):
    """z [N, F] -> points [N, 2]; no norm, no labels."""

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers(latent_size, HIDDEN, HIDDEN), nn.Linear(HIDDEN, 2))

    def forward(self, z: Tensor, _: Tensor | None) -> Tensor:
        points: Tensor = self.body(z)
        return points


def layers(*sizes: int) -> list[nn.Module]:
    made: list[nn.Module] = []
    for before, after in pairwise(sizes):
        made += [nn.Linear(before, after), nn.ReLU()]
    return made


def learn(config: GanConfig, steps: int) -> Tensor:
    """Points that a generator makes after so many steps, by its averaged weights."""
    torch.manual_seed(config.seed)
    generator = VectorGenerator(config.latent_size)
    discriminator = Discriminator(nn.Sequential(*layers(2, HIDDEN, HIDDEN)), HIDDEN)
    if config.discriminator_norm == "spectral":
        normalise_spectrum(discriminator)
    state = TrainingState.around(
        config, generator, discriminator, image_count=BATCH, device=torch.device("cpu")
    )
    step, rng = choose_step(config), torch.Generator().manual_seed(5)
    for _ in range(steps):
        step(state, draw_mixture(BATCH, rng), None)
    with torch.no_grad():
        points: Tensor = state.ema.module(torch.randn(2000, config.latent_size, generator=rng), None)
    return points


STEPS = 1500
TINY: dict[str, object] = {
    "learning_rate_generator": 1e-3,
    "learning_rate_discriminator": 1e-3,
    "augment_probability": 0.0,
    "discriminator_norm": "none",
    "latent_size": 16,
    "batch_size": BATCH,
    "kimg": STEPS * BATCH / 1000,
    "ema_halflife_kimg": 5.0,
}

# What each recipe changes for points of size 1 instead of images of 1,000 pixels: penalties scale with the
# square of the gradient's length. Recipes without a bound on the slope find all modes with one seed and none
# with the next, and claim nothing.
CLAIMS: dict[str, dict[str, object]] = {
    "wgan-gp": {"gradient_penalty_weight": 0.1, "discriminator_steps": 2},
    "sngan": {"discriminator_norm": "spectral"},
    "rpgan": {"r1_gamma": 0.1, "r2_gamma": 0.1},
}


@pytest.mark.parametrize("recipe", CLAIMS)
def test_recipes_that_claim_it_find_the_modes(recipe: str) -> None:
    config = parse_config(recipe, TINY | CLAIMS[recipe])
    assert isinstance(config, GanConfig)
    modes, close = modes_found(learn(config, STEPS))
    assert modes >= 7
    assert close > 0.25  # of points spread evenly over the square, 14 % are


def test_the_measure_tells_learned_from_unlearned() -> None:
    rng = torch.Generator().manual_seed(0)
    assert modes_found(draw_mixture(2000, rng)) == (MODES, 1.0)
    one_mode = torch.tensor([[RADIUS, 0.0]]).repeat(2000, 1)
    assert modes_found(one_mode) == (1, 1.0)
    _, close = modes_found(torch.rand(2000, 2, generator=rng) * 2 - 1)
    assert close == pytest.approx(MODES * math.pi * 0.15**2 / 4, abs=0.03)

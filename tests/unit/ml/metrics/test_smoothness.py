"""Walks through a latent space: straight, jumping, and going nowhere."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ml.metrics.smoothness import STEPS, Smoothness, latent_smoothness, slerp


def walk_through(generator: Callable[[Tensor], Tensor]) -> Smoothness:
    rng = torch.Generator().manual_seed(0)
    return latent_smoothness(lambda z, _walk: generator(z), latent_size=16, rng=rng)


def test_arcs_keep_their_length_and_their_ends() -> None:
    first, second = torch.eye(4)[:1], torch.eye(4)[1:2]

    arc = slerp(first, second, torch.linspace(0, 1, 5))

    assert arc.norm(dim=2).tolist()[0] == pytest.approx([1] * 5)
    assert arc[0, 0].tolist() == pytest.approx(first[0].tolist(), abs=1e-6)
    assert arc[0, 4].tolist() == pytest.approx(second[0].tolist(), abs=1e-6)
    assert arc[0, 2, 0] == pytest.approx(0.5**0.5)


def test_a_linear_generator_makes_even_steps_on_a_slight_bow() -> None:
    detour, largest = walk_through(lambda z: z * 3)

    assert 1 <= detour < 1.25
    assert largest == pytest.approx(1 / STEPS, rel=0.15)


def test_a_generator_that_switches_between_two_images_jumps() -> None:
    def switch(z: Tensor) -> Tensor:
        return torch.where(z[:, :1] > 0, torch.ones(len(z), 3), torch.zeros(len(z), 3))

    _, largest = walk_through(switch)

    assert largest == 1


def test_a_collapsed_generator_goes_nowhere() -> None:
    assert walk_through(lambda z: torch.zeros(len(z), 3)) == (1.0, 1 / STEPS)


def test_points_of_a_walk_are_told_which_walk_they_belong_to() -> None:
    told: list[Tensor] = []

    def features_at(z: Tensor, walk: Tensor) -> Tensor:
        told.append(walk)
        return z

    latent_smoothness(features_at, latent_size=4, rng=torch.Generator().manual_seed(0), walks=3, steps=2)

    assert told[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]

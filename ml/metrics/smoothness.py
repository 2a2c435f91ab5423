"""Does a small step in the latent space make a small step in the image?

In the spirit of perceptual path length (Karras et al. 2019, A Style-Based Generator Architecture, section 4.1),
but on finished 8-bit images and free of the feature space's scale: walk between two latents in equal steps
(spherical interpolation, White 2016, Sampling Generative Networks) and measure each step in feature space.
    detour        length of the walk / distance of its ends; 1 is straight
    largest_step  longest step / length of the walk; 1 / steps is even, 1 is a single jump
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

STEPS = 16
WALKS = 64


class Smoothness(NamedTuple):
    """Medians over the walks: `detour` at least 1, `largest_step` in 1/steps..1."""

    detour: float
    largest_step: float


def slerp(first: Tensor, second: Tensor, shares: Tensor) -> Tensor:
    """Points on the arcs from `first` to `second`, [W, Z] each, at `shares` [S] of the way: [W, S, Z]."""
    unit_first = first / first.norm(dim=1, keepdim=True)
    unit_second = second / second.norm(dim=1, keepdim=True)
    angle = (unit_first * unit_second).sum(1).clamp(-1 + 1e-6, 1 - 1e-6).arccos()[:, None, None]
    along = shares[None, :, None]
    weight_first, weight_second = torch.sin((1 - along) * angle), torch.sin(along * angle)
    return (weight_first * first[:, None] + weight_second * second[:, None]) / torch.sin(angle)


def latent_smoothness(
    features_at: Callable[[Tensor, Tensor], Tensor],
    *,
    latent_size: int,
    rng: torch.Generator,
    walks: int = WALKS,
    steps: int = STEPS,
) -> Smoothness:
    """Walk between pairs of random latents.

    Args:
        features_at: (latents [P, Z], walk of each latent [P]) → features of their images [P, D]. All points
            of a walk must get one class.
        latent_size: Z.
        rng: makes the pairs.
        walks: how many.
        steps: equal steps in each.
    """
    ends = torch.randn(2, walks, latent_size, generator=rng)
    path = slerp(ends[0], ends[1], torch.linspace(0, 1, steps + 1))
    which = torch.arange(walks).repeat_interleave(steps + 1)
    points = features_at(path.flatten(0, 1), which).double().view(walks, steps + 1, -1)
    lengths = points.diff(dim=1).norm(dim=2)
    total = lengths.sum(1)
    moved = total > 0
    if not bool(moved.any()):
        # Every latent gives one image: no step is larger than another, and none leads anywhere.
        return Smoothness(detour=1.0, largest_step=1.0 / steps)
    ends_apart = (points[:, -1] - points[:, 0]).norm(dim=1).clamp(min=1e-12)
    detour = (total / ends_apart)[moved]
    largest = (lengths.amax(1) / total.clamp(min=1e-12))[moved]
    return Smoothness(float(detour.median()), float(largest.median()))

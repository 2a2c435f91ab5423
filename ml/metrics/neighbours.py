"""Precision, recall, density and coverage: is every sample plausible, and is every kind of image made.

Around each point lies a ball that reaches to its k-th nearest neighbour of the same set. Kynkäänniemi et al.
2019, Improved Precision and Recall Metric, equations 1 and 2:
    precision  share of fakes inside at least one real ball
    recall     share of reals inside at least one fake ball; one far-off fake can claim a wide ball
Naeem et al. 2020, Reliable Fidelity and Diversity Metrics, equations 4 and 6:
    density    mean number of real balls a fake lies in, divided by k; may exceed 1
    coverage   share of reals whose ball holds at least one fake
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ml.metrics.distances import check_features, distance_blocks

NEAREST_K = 5


class Neighbourhood(NamedTuple):
    """The four figures; precision, recall and coverage in 0..1, density at least 0. Perfect samples: about 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def squared_radii(points: Tensor, k: int = NEAREST_K) -> Tensor:
    """Squared distance of each point to its k-th nearest other one: float32 [N]."""
    radii = torch.empty(len(points))
    for part, block in distance_blocks(points, points):
        # The nearest of the k + 1 is the point itself.
        radii[part] = block.topk(k + 1, dim=1, largest=False, sorted=False).values.amax(1)
    return radii.clamp_(min=0)


def neighbourhood(
    real: Tensor, fake: Tensor, *, k: int = NEAREST_K, real_radii: Tensor | None = None
) -> Neighbourhood:
    """Compute the four figures for features [N, D] and [M, D].

    Time grows with N·M and memory does not: distances are made a block at a time.

    Args:
        real: features of real images.
        fake: features of samples.
        k: which neighbour a ball reaches to.
        real_radii: `squared_radii(real, k)` if it is known already.

    Raises:
        MlError: k or fewer samples, unlike shapes, or values that are not finite.
    """
    check_features(real, fake, least=k + 1)
    real_radii = squared_radii(real, k) if real_radii is None else real_radii
    fake_radii = squared_radii(fake, k)
    balls_around_fake = torch.zeros(len(fake), dtype=torch.int32)
    real_is_recalled = torch.empty(len(real), dtype=torch.bool)
    real_is_covered = torch.empty(len(real), dtype=torch.bool)
    for part, block in distance_blocks(real, fake):
        block.clamp_(min=0)
        # As bytes the flags sum several times faster.
        balls_around_fake += (block < real_radii[part, None]).view(torch.uint8).sum(0, dtype=torch.int32)
        real_is_recalled[part] = (block < fake_radii).any(1)
        real_is_covered[part] = block.amin(1) < real_radii[part]
    return Neighbourhood(
        precision=_share(balls_around_fake > 0),
        recall=_share(real_is_recalled),
        density=float(balls_around_fake.double().mean() / k),
        coverage=_share(real_is_covered),
    )


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())

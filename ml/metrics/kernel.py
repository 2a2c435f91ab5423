"""Kernel distance: squared maximum mean discrepancy with a cubic kernel, without bias.

Bińkowski et al. 2018, Demystifying MMD GANs, section 3.1 and 4 (there with Inception features: KID):
    k(x, y) = (x·y / D + 1)³
    MMD² = mean of k over pairs of different reals + the same over fakes - 2 · mean of k over real-fake pairs
Unlike the Fréchet distance its expectation does not depend on the number of samples; it may be below 0.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ml.metrics.distances import check_features
from ml.seeds import random_stream

SUBSETS = 50
SUBSET_SIZE = 1000


class KernelDistance(NamedTuple):
    """Mean over the subsets, and their standard deviation (0 for one subset)."""

    value: float
    spread: float


def unbiased_mmd2(real: Tensor, fake: Tensor) -> float:
    """The estimate above for two sets of features [N, D] and [M, D], N and M at least 2, in float64."""
    real, fake = real.double(), fake.double()
    within = _mean_of_pairs(real) + _mean_of_pairs(fake)
    return float(within - 2 * _kernel(real, fake).mean())


def kernel_distance(
    real: Tensor, fake: Tensor, *, seed: int, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE
) -> KernelDistance:
    """Average `unbiased_mmd2` over random subsets, each without repetition.

    Args:
        real: features [N, D].
        fake: features [M, D].
        seed: of the subsets.
        subsets: how many; one is enough when a subset takes everything.
        subset_size: samples of each side in a subset, or all there are if fewer.

    Raises:
        MlError: fewer than 2 samples, unlike shapes, or values that are not finite.
    """
    check_features(real, fake, least=2)
    size = min(subset_size, len(real), len(fake))
    if size == len(real) == len(fake):
        return KernelDistance(unbiased_mmd2(real, fake), 0.0)
    rng = random_stream(seed, "kernel-distance")
    values = torch.tensor(
        [unbiased_mmd2(_some(real, size, rng), _some(fake, size, rng)) for _ in range(subsets)]
    )
    return KernelDistance(float(values.mean()), float(values.std()) if subsets > 1 else 0.0)


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first @ second.T).div_(first.shape[1]).add_(1.0).pow_(3)


def _mean_of_pairs(points: Tensor) -> Tensor:
    """Mean kernel of pairs of different points."""
    kernel = _kernel(points, points)
    count = len(points)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))


def _some(points: Tensor, count: int, rng: torch.Generator) -> Tensor:
    return points[torch.randperm(len(points), generator=rng)[:count]]

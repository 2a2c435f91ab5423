"""Does the generator repeat its training images? Distances to the nearest one, against held-out images'.

After Meehan et al. 2020, A Non-Parametric Test to Detect Data-Copying in Generative Models: samples that lie
closer to the training set than fresh real images do are copies. Figures, over distances d to the nearest
training image in feature space:
    ratio   median d of the fakes / median d of held-out images; 1 is like fresh images, 0 is copies
    copies  share of fakes with d below the 1st percentile of held-out images; 0.01 is like fresh images
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ml.metrics.distances import check_features, distance_blocks

NEAR = 0.01
"""Held-out images nearer than this share of them count as "as near as a copy"."""
MIN_SAMPLES = 20


class Memorisation(NamedTuple):
    """`ratio` at least 0, `copies` in 0..1, as defined above."""

    ratio: float
    copies: float


def nearest_distances(points: Tensor, others: Tensor) -> Tensor:
    """Euclidean distance of each point to its nearest other: float64 [N]. A point among the others has 0."""
    nearest = torch.empty(len(points), dtype=torch.int64)
    for part, block in distance_blocks(points, others):
        nearest[part] = block.min(1).indices
    # Block distances round; the distance to the one that was found need not.
    distances: Tensor = (points.double() - others[nearest].double()).norm(dim=1)
    return distances


def memorisation(train: Tensor, test: Tensor, fake: Tensor) -> Memorisation:
    """Compare how near fakes and held-out images come to the training set.

    Args:
        train: features of all training images, [T, D].
        test: of real images the generator never saw, [N, D].
        fake: of samples, [M, D].

    Raises:
        MlError: fewer than 20 samples, unlike shapes, or values that are not finite.
    """
    check_features(train, test, fake, least=MIN_SAMPLES)
    of_test, of_fake = nearest_distances(test, train), nearest_distances(fake, train)
    # Held-out images may themselves be all copies; any fake is then as far as they are, or farther.
    usual = float(of_test.median().clamp(min=torch.finfo(torch.float32).tiny))
    limit = of_test.quantile(NEAR)
    return Memorisation(
        ratio=float(of_fake.median()) / usual, copies=float((of_fake < limit).double().mean())
    )

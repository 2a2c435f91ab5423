"""Samples beside the training images that they come nearest to: does the generator repeat what it saw?

The distance is that of `ml.metrics.memorisation`, in the feature space of the evaluation. Its measure is the
median distance of held-out images to their nearest training image: a ratio of 1 is as near as fresh real
images come, a ratio near 0 is a copy.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ml.metrics.distances import distance_blocks
from ml.metrics.memorisation import MIN_SAMPLES, nearest_distances

SHOWN = 8
COPY_RATIO = 0.25
"""A sample this much nearer to a training image than held-out images come is taken for a copy in the card's words."""


@dataclass(frozen=True)
class Pair:
    """A sample and the training image nearest to it.

    Attributes:
        sample: index of the sample; training: position of the image in the data set.
        distance: in feature space; ratio: over the usual distance of held-out images, None if that is not known.
    """

    sample: int
    training: int
    distance: float
    ratio: float | None


@dataclass(frozen=True)
class Neighbours:
    """The nearest pairs of all samples looked at, nearest first.

    Attributes:
        looked_at: samples; searched: training images, of `training_images`.
        usual_distance: median distance of held-out images to training images; None for fewer than 20 of them.
        space: the feature space.
    """

    pairs: tuple[Pair, ...]
    looked_at: int
    searched: int
    training_images: int
    usual_distance: float | None
    space: str


def find_neighbours(
    fake: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    searched: Tensor,
    training_images: int,
    space: str,
    shown: int = SHOWN,
) -> Neighbours:
    """Find the samples that come nearest to training images.

    Args:
        fake: features of samples, [M, D].
        train: features of training images, [T, D]; `searched` are their positions in the data set, [T].
        held_out: features of images that are not among them, [N, D], N may be 0.
        training_images: how many there are.
        space: name of the feature space.
        shown: pairs to return.
    """
    nearest = torch.empty(len(fake), dtype=torch.int64)
    for part, block in distance_blocks(fake, train):
        nearest[part] = block.min(1).indices
    distances = (fake.double() - train[nearest].double()).norm(dim=1)
    usual = float(nearest_distances(held_out, train).median()) if len(held_out) >= MIN_SAMPLES else None
    pairs = tuple(
        Pair(
            sample=int(i),
            training=int(searched[nearest[i]]),
            distance=float(distances[i]),
            ratio=float(distances[i]) / usual if usual else None,
        )
        for i in distances.argsort(stable=True)[:shown]
    )
    return Neighbours(pairs, len(fake), len(train), training_images, usual, space)

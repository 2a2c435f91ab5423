"""Which images are for training and which are held out.

Data that come with a test split keep it. Else each image's own pixels decide: it is held out when the
hash of a seed and its pixels falls below the held-out share. So the answer does not depend on the order or
number of the other images: a set that grows keeps its split, a larger share contains the smaller one, and
exact copies of an image are never on both sides.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ml.data.packed import PackedDataset
from ml.errors import InvalidDatasetError

DEFAULT_HOLDOUT = 0.1
LEAST_WORTH_A_SPLIT = 500
"""Of fewer images a tenth is too few to measure anything by, and training misses every one of them."""
SPLIT_SEED = 0
"""One for everybody: networks, feature extractors and evaluations must agree on what nobody has seen."""


@dataclass(frozen=True)
class Split:
    """Positions in a data set, each int64 and rising; together they are all of it.

    Attributes:
        train: images to learn from.
        test: images held out.
        holdout: share asked for; the share found differs by chance, as every image is judged alone.
        seed: of the hash.
        is_own: whether the data came with this split.
    """

    train: Tensor
    test: Tensor
    holdout: float
    seed: int
    is_own: bool = False

    @property
    def method(self) -> str:
        """The rule in one line, for reports."""
        if self.is_own:
            return "the test split that the data set came with"
        return f"held out if blake2b(seed={self.seed}, pixels) / 2^64 < {self.holdout:g}"


def default_holdout(dataset: PackedDataset) -> float:
    """The share a training run holds out unless it is told: a tenth of some hundred images, none of fewer."""
    return DEFAULT_HOLDOUT if len(dataset.images) >= LEAST_WORTH_A_SPLIT else 0.0


def split_dataset(
    dataset: PackedDataset, *, holdout: float = DEFAULT_HOLDOUT, seed: int = SPLIT_SEED
) -> Split:
    """Split a data set in two.

    Args:
        dataset: images to split; labels play no part.
        holdout: share of images to hold out, at least 0 and below 1; without effect on data that came with a
            test split.
        seed: 0 to 2^63 - 1; other seeds hold out other images.

    Raises:
        InvalidDatasetError: the share is out of range, or leaves nothing to train on.
    """
    if not 0 <= holdout < 1:
        raise InvalidDatasetError(
            "dataset.holdout", f"The held-out share must be at least 0 and below 1, not {holdout:g}."
        )
    positions = torch.arange(len(dataset.images))
    own = dataset.held_out
    if own is not None:
        share = float(own.float().mean())
        return Split(positions[~own], positions[own], share, seed, is_own=True)
    threshold = int(holdout * 2**64)
    salt = seed.to_bytes(8, "little")
    pixels = dataset.images.contiguous().numpy()
    held_out = torch.tensor([_position(image.data, salt) < threshold for image in pixels])
    split = Split(positions[~held_out], positions[held_out], holdout, seed)
    if not len(split.train):
        raise InvalidDatasetError(
            "dataset.holdout",
            f"Holding out {holdout:.0%} of {len(pixels)} images leaves none to train on. Hold out less.",
        )
    return split


def _position(pixels: memoryview, salt: bytes) -> int:
    """Where an image stands in [0, 2^64): uniform over images, fixed for each."""
    return int.from_bytes(hashlib.blake2b(pixels, digest_size=8, key=salt).digest(), "little")

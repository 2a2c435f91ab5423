"""Which classes the samples belong to, by a classifier that learned from real images."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassTally:
    """How often each class was made, by the classifier's word.

    Attributes:
        counts: samples taken for each class, int64 [K].
        expected: how many there would be if samples had the classes of the real images, float64 [K].
        accuracy: share of samples taken for the class that was asked for, float64 [K]; NaN for a class that
            was never asked for. None for a generator without classes.
    """

    counts: Tensor
    expected: Tensor
    accuracy: Tensor | None

    @property
    def rarest(self) -> float:
        """Least count / expected count over classes that are expected: 0 is a missing class, 1 is none short."""
        is_expected = self.expected > 0
        return float((self.counts[is_expected] / self.expected[is_expected]).min())


def tally_classes(
    predicted: Tensor, *, predicted_real: Tensor, class_count: int, requested: Tensor | None
) -> ClassTally:
    """Count classes.

    Args:
        predicted: the classifier's word for the samples, int64 [N].
        predicted_real: its word for real images, int64 [M]: the same errors are in both counts.
        class_count: number of classes K.
        requested: the class each sample was asked to have, int64 [N], or None.
    """
    counts = torch.bincount(predicted, minlength=class_count)
    shares = torch.bincount(predicted_real, minlength=class_count).double() / len(predicted_real)
    accuracy = None if requested is None else accuracy_by_class(predicted, requested, class_count)
    return ClassTally(counts, shares * len(predicted), accuracy)


def accuracy_by_class(said: Tensor, truth: Tensor, class_count: int) -> Tensor:
    """Share of right answers for each true class: float64 [K]; NaN for a class that is not there."""
    there = torch.bincount(truth, minlength=class_count).double()
    return torch.bincount(truth[said == truth], minlength=class_count) / there

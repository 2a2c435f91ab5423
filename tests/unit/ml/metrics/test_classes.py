"""Counting classes: what was made, what should have been, and what was asked for."""

import pytest
import torch

from ml.metrics.classes import tally_classes

REAL = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)


def test_counts_are_beside_what_real_images_would_give() -> None:
    said = torch.tensor([0] * 10 + [1] * 9 + [2] * 1)

    tally = tally_classes(said, predicted_real=REAL, class_count=3, requested=None)

    assert tally.counts.tolist() == [10, 9, 1]
    assert tally.expected.tolist() == pytest.approx([10, 6, 4])
    assert tally.rarest == pytest.approx(1 / 4)
    assert tally.accuracy is None


def test_a_missing_class_is_zero_and_an_absent_one_is_not_missed() -> None:
    said = torch.tensor([0] * 5 + [1] * 5)

    assert tally_classes(said, predicted_real=REAL, class_count=3, requested=None).rarest == 0
    assert tally_classes(said, predicted_real=REAL[:80], class_count=3, requested=None).rarest > 0.7


def test_accuracy_is_by_requested_class() -> None:
    requested = torch.tensor([0, 0, 0, 0, 2, 2])
    said = torch.tensor([0, 0, 0, 1, 2, 1])

    tally = tally_classes(said, predicted_real=REAL, class_count=3, requested=requested)

    assert tally.accuracy is not None
    assert tally.accuracy[[0, 2]].tolist() == pytest.approx([0.75, 0.5])
    assert tally.accuracy[1].isnan()

"""Copies have ratio 0, fresh samples ratio 1."""

import pytest
import torch

from ml.errors import MlError
from ml.metrics.memorisation import memorisation, nearest_distances
from tests.unit.ml.metrics.clouds import cloud

TRAIN, TEST = cloud(1000, seed=0), cloud(400, seed=1)


def test_copies_of_training_images_are_found_exactly() -> None:
    found = memorisation(TRAIN, TEST, TRAIN[:200] + 0.0)

    assert found == (0, 1)


def test_one_copy_in_ten_shows_in_the_share_and_hardly_in_the_ratio() -> None:
    fresh = cloud(400, seed=2)
    fresh[:40] = TRAIN[:40]

    found = memorisation(TRAIN, TEST, fresh)

    assert found.copies == pytest.approx(0.11, abs=0.03)
    assert found.ratio == pytest.approx(1, abs=0.15)


def test_fresh_samples_are_like_held_out_images() -> None:
    found = memorisation(TRAIN, TEST, cloud(400, seed=2))

    assert found.ratio == pytest.approx(1, abs=0.06)
    assert found.copies <= 0.04


def test_far_off_samples_are_no_copies() -> None:
    found = memorisation(TRAIN, TEST, cloud(400, seed=2, shift=20))

    assert found.ratio > 5
    assert found.copies == 0


def test_nearest_distance_by_hand() -> None:
    points, others = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])

    assert nearest_distances(points, others).tolist() == [1, 0]


def test_held_out_images_that_are_all_copies_do_not_divide_by_zero() -> None:
    found = memorisation(TRAIN, TRAIN[:100], TRAIN[:100])

    assert found == (0, 0)


def test_refuses_a_handful() -> None:
    with pytest.raises(MlError, match="at least 20"):
        memorisation(TRAIN, TEST, TRAIN[:5])

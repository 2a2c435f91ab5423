"""The nearest training image of a sample, and how near that is."""

import pytest
import torch

from ml.card.neighbours import find_neighbours

TRAIN = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def test_pairs_come_nearest_first_with_positions_in_the_data_set() -> None:
    fake = torch.tensor([[10.0, 3.0], [0.1, 0.0], [5.0, 9.0]])
    held_out = torch.tensor([[0.0, 2.0]]).repeat(20, 1)

    found = find_neighbours(
        fake, TRAIN, held_out, searched=torch.tensor([4, 7, 9]), training_images=12, space="x", shown=2
    )

    assert [(pair.sample, pair.training) for pair in found.pairs] == [(1, 4), (0, 7)]
    assert [pair.distance for pair in found.pairs] == pytest.approx([0.1, 3.0])
    assert [pair.ratio for pair in found.pairs] == pytest.approx([0.05, 1.5])
    assert (found.looked_at, found.searched, found.training_images) == (3, 3, 12)
    assert found.usual_distance == pytest.approx(2.0)


def test_without_enough_held_out_images_there_is_no_ratio() -> None:
    found = find_neighbours(
        TRAIN, TRAIN, torch.zeros(19, 2), searched=torch.arange(3), training_images=3, space="x"
    )
    assert found.usual_distance is None
    assert [pair.ratio for pair in found.pairs] == [None, None, None]
    assert [pair.distance for pair in found.pairs] == [0.0, 0.0, 0.0]

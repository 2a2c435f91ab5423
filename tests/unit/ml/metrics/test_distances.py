"""Distances in blocks equal distances one by one, also far from the origin."""

import torch

from ml.metrics.distances import distance_blocks
from tests.unit.ml.metrics.clouds import cloud


def test_equals_differences_one_by_one_far_from_the_origin() -> None:
    rows, columns = cloud(40, seed=0) + 1000, cloud(30, seed=1) + 1000
    expected = (rows[:, None].double() - columns[None].double()).square().sum(2)

    found = torch.cat([block for _, block in distance_blocks(rows, columns)])

    assert torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-2)


def test_memory_of_a_block_is_bounded() -> None:
    columns = cloud(5000, 2, seed=0)

    sizes = [block.numel() for _, block in distance_blocks(cloud(5000, 2, seed=1), columns)]

    assert sum(sizes) == 5000 * 5000
    assert max(sizes) <= 1 << 23

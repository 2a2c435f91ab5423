"""Squared distances between many points, a block of rows at a time: memory stays flat however many there are."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ml.errors import MlError

BLOCK_ELEMENTS = 1 << 23
"""Distances in one block: 32 MiB."""


def distance_blocks(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield squared Euclidean distances of some rows to all columns.

    Args:
        rows: float [N, D].
        columns: float [M, D], M at least 1.

    Yields:
        (which rows, float32 [rows, M]), in order. By |a-b|² = |a|² + |b|² - 2ab around the columns' mean, which
        keeps the cancellation small; never negative.
    """
    centre = columns.mean(0)
    rows, columns = (rows - centre).float(), (columns - centre).float()
    row_norms, column_norms = rows.square().sum(1), columns.square().sum(1)
    step = max(1, BLOCK_ELEMENTS // len(columns))
    for first in range(0, len(rows), step):
        part = slice(first, min(first + step, len(rows)))
        block = torch.addmm(column_norms, rows[part], columns.T, alpha=-2.0)
        yield part, block.add_(row_norms[part, None]).clamp_(min=0)


def check_features(*sets: Tensor, least: int) -> None:
    """Refuse feature arrays that a metric cannot mean anything for.

    Raises:
        MlError: not [N, D] arrays of one D, not finite, or fewer than `least` rows in one.
    """
    if any(features.ndim != 2 for features in sets) or len({features.shape[1] for features in sets}) != 1:
        shapes = ", ".join(str(list(features.shape)) for features in sets)
        raise MlError("metrics.shape", f"Features must be [N, D] with one D; these are {shapes}.")
    smallest = min(len(features) for features in sets)
    if smallest < least:
        raise MlError(
            "metrics.too_few", f"This figure needs at least {least} samples on each side, not {smallest}."
        )
    if not all(bool(features.isfinite().all()) for features in sets):
        raise MlError("metrics.non_finite", "The features hold NaN or infinity.")

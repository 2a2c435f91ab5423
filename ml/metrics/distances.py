"""Squared distances between many points, a block of rows at a time: memory stays flat however many there are."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ml.errors import MlError

BLOCK_ELEMENTS = 1 << 23
"""Distances in one block: 32 MiB."""


def distance_blocks(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield squared Euclidean distances of some rows to all columns.

    |a-b|² = |a|² + |b|² - 2ab is one matrix product of (a, |a|², 1) and (-2b, 1, |b|²), taken around the columns'
    mean, which keeps the cancellation small.

    Args:
        rows: float [N, D].
        columns: float [M, D], M at least 1.

    Yields:
        (which rows, float32 [rows, M]), in order. The block is overwritten by the next one, so copy what must
        last. A distance near 0 may round to slightly below it.
    """
    centre = columns.mean(0)
    rows, columns = (rows - centre).float(), (columns - centre).float()
    left = torch.cat([rows, rows.square().sum(1, keepdim=True), torch.ones(len(rows), 1)], 1)
    right = torch.cat([-2 * columns, torch.ones(len(columns), 1), columns.square().sum(1, keepdim=True)], 1).T
    step = max(1, min(len(rows), BLOCK_ELEMENTS // len(columns)))
    buffer = torch.empty(step, len(columns))
    for first in range(0, len(rows), step):
        part = slice(first, min(first + step, len(rows)))
        yield part, torch.mm(left[part], right, out=buffer[: part.stop - first])


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

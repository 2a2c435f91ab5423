"""A contact sheet: many small images on one, one class a column where there are classes."""

import math

import numpy as np
from numpy.typing import NDArray

GAP_PX = 2
BACKGROUND = 255
WIDEST_CLASS_ROW = 20


def column_count(image_count: int, class_count: int) -> int:
    """Columns that put one class in each when there are classes, else a sheet near square."""
    if 2 <= class_count <= WIDEST_CLASS_ROW:
        return class_count
    return math.ceil(math.sqrt(image_count))


def contact_sheet(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Lay images out row by row.

    Args:
        images: uint8 [N, H, W, C], N at least 1.
        columns: images in a row.

    Returns:
        uint8 [rows * (H + gap) + gap, columns * (W + gap) + gap, C]; unused cells are background.
    """
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    sheet = np.full(
        (rows * (height + GAP_PX) + GAP_PX, columns * (width + GAP_PX) + GAP_PX, channels),
        BACKGROUND,
        dtype=np.uint8,
    )
    for i, image in enumerate(images):
        top = GAP_PX + (i // columns) * (height + GAP_PX)
        left = GAP_PX + (i % columns) * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = image
    return sheet

"""The memory layout that convolutions run in."""

import torch
from torch import Tensor


def channels_last(images: Tensor) -> Tensor:
    """The same images [N, C, H, W] with the channels of a pixel side by side in memory.

    With a single channel both layouts are the same bytes, and torch then takes the strides as they are for the
    other one: every layer after the first would run in it. So the strides are set as well.
    """
    count, channels, height, width = images.shape
    if channels == 1:
        return torch.reshape(images, (count, height, width, 1)).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)

"""Images on their way into a feature network: one size, floats, a batch at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

BATCH = 256


def resize_rule(px: int) -> str:
    """What `prepared` does about sizes, for reports."""
    return f"{px} px as they are, others bilinear with antialiasing to {px} px"


def prepared(images: Tensor, px: int) -> Tensor:
    """Make network input of images.

    Args:
        images: uint8 [N, C, H, W].
        px: side the network wants.

    Returns:
        float32 [N, C, px, px] in [-1, 1]. Antialiasing matters: without it, resizing alone moves the Fréchet
        distance (Parmar et al. 2022, On Aliased Resizing and Surprising Subtleties in GAN Evaluation).
    """
    floats = images.float()
    if images.shape[-2:] != (px, px):
        floats = functional.interpolate(floats, size=(px, px), mode="bilinear", antialias=True)
    return floats.div_(127.5).sub_(1.0)


def batches(images: Tensor, px: int) -> Iterator[Tensor]:
    """Yield `images` prepared, at most 256 at a time, so that memory does not grow with their number."""
    for batch in torch.split(images, BATCH):
        yield prepared(batch, px)

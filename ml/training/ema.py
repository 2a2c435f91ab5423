"""Moving average of the generator's weights: the weights that samples come from."""

import copy

import torch
from torch import Tensor, nn

RAMP_UP = 0.05
"""The half-life never exceeds this share of the images seen, so that early averages are not stale.
Karras et al. 2020 (StyleGAN2-ADA), appendix; the value of its published configurations."""


class Ema:
    """An averaged copy of a module.

    Parameters are averaged and buffers copied. Batch-norm statistics copied this way do not fit averaged
    weights: re-estimate them (`ml.training.batch_statistics`) before sampling.
    """

    def __init__(self, module: nn.Module, *, halflife_kimg: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.halflife_kimg = halflife_kimg

    @torch.no_grad()
    def update(self, module: nn.Module, *, batch_size: int, images_seen: int) -> None:
        """Move the average towards `module` by one step of `batch_size` images."""
        averages: list[Tensor] = list(self.module.parameters())
        currents: list[Tensor] = list(module.parameters())
        weight = 1.0 - ema_beta(self.halflife_kimg * 1000, batch_size=batch_size, images_seen=images_seen)
        torch._foreach_lerp_(averages, currents, weight)
        for average, current in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(current)


def ema_beta(halflife_images: float, *, batch_size: int, images_seen: int) -> float:
    """Share of the old average kept in one step, so that a weight's influence halves each half-life.

    >>> ema_beta(1000, batch_size=500, images_seen=10**6) ** 2
    0.5000000000000001
    """
    halflife = min(halflife_images, images_seen * RAMP_UP)
    return float(0.5 ** (batch_size / halflife)) if halflife > 0 else 0.0

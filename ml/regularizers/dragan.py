"""The penalty of DRAGAN: Kodali et al. 2017, arXiv:1705.07215, section 2.3."""

import torch
from torch import Tensor

from ml.regularizers.gradient_penalty import SMALLEST_SQUARE
from ml.regularizers.gradients import Judge, squared_gradient_norms

NOISE_SHARE = 0.5
"""Width of the noise, as a share of the standard deviation of the batch."""


def dragan_penalty(
    judge: Judge, real_images: Tensor, labels: Tensor | None, *, weight: float, rng: torch.Generator
) -> Tensor:
    """weight * E[(||dD(x + d)/dx|| - 1)^2] at real images with Gaussian noise d added: a scalar.

    It keeps the discriminator from growing sharp peaks at single data points, which the paper holds to be
    the cause of mode collapse, and it does so around the data only, without a look at the fakes.
    """
    noise = torch.randn(real_images.shape, generator=rng).to(real_images.device)
    nearby = real_images.detach() + NOISE_SHARE * real_images.detach().std() * noise
    norms = squared_gradient_norms(judge, nearby, labels).clamp_min(SMALLEST_SQUARE).sqrt()
    return weight * (norms - 1).square().mean()

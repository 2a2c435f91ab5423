"""The penalty of WGAN-GP: Gulrajani et al. 2017, arXiv:1704.00028, equation 3."""

import torch
from torch import Tensor

from ml.regularizers.gradients import Judge, squared_gradient_norms

SMALLEST_SQUARE = 1e-12
"""The slope of a square root is infinite at 0."""


def gradient_penalty(
    judge: Judge,
    real_images: Tensor,
    fake_images: Tensor,
    labels: Tensor | None,
    *,
    weight: float,
    rng: torch.Generator,
) -> Tensor:
    """weight * E[(||dD(x)/dx|| - 1)^2], x uniformly between a real image and a fake: a scalar.

    The critic with the largest mean difference among those of slope at most 1 has slope 1 almost
    everywhere between the two distributions (proposition 1), hence the target of 1.
    """
    shape = (len(real_images), *[1] * (real_images.dim() - 1))
    share = torch.rand(shape, generator=rng).to(real_images.device)
    between = share * real_images.detach() + (1 - share) * fake_images.detach().to(real_images.dtype)
    norms = squared_gradient_norms(judge, between, labels).clamp_min(SMALLEST_SQUARE).sqrt()
    return weight * (norms - 1).square().mean()

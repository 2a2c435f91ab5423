"""L1 and L2: small weights for smooth functions."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def l1_penalty(module: nn.Module, *, weight: float) -> Tensor:
    """weight * sum |w| over all weights (Tibshirani 1996): drives the unneeded ones to zero."""
    return weight * torch.stack([matrix.abs().sum() for matrix in _matrices(module)]).sum()


def l2_penalty(module: nn.Module, *, weight: float) -> Tensor:
    """weight/2 * sum w^2 over all weights (Krogh & Hertz 1991): its gradient shrinks each in proportion."""
    return 0.5 * weight * torch.stack([matrix.square().sum() for matrix in _matrices(module)]).sum()


def _matrices(module: nn.Module) -> Iterator[Tensor]:
    """Weights, not biases and norm scales: shrinking those moves the function instead of smoothing it."""
    return (parameter for parameter in module.parameters() if parameter.dim() > 1)

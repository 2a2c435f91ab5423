"""Points with a known distribution."""

import torch
from torch import Tensor


def cloud(count: int, size: int = 8, *, seed: int, shift: float = 0.0, spread: float = 1.0) -> Tensor:
    """Gaussian points, float32 [count, size], correlated along neighbouring coordinates."""
    points = torch.randn(count, size, generator=torch.Generator().manual_seed(seed))
    return spread * (points + 0.5 * points.roll(1, dims=1)) + shift

"""Cheap metrics while training: means over the steps since the last report."""

import math

import torch
from torch import Tensor, nn

from ml.errors import NonFiniteLossError
from ml.step import StepStatistics

_NAMES = ("loss_discriminator", "loss_generator", "real_logits", "fake_logits", "diversity")


class RunningMetrics:
    """Sums step statistics on the device; only `read` waits for it."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._steps = 0
        self._last: dict[str, float] = {}

    def add(self, statistics: StepStatistics) -> None:
        """Count one step."""
        values = torch.stack([getattr(statistics, name) for name in _NAMES])
        self._sum = values if self._sum is None else self._sum + values
        self._steps += 1

    def read(self, images_seen: int) -> dict[str, float]:
        """Means since the last read (or the last means when no step came since), and start over.

        Raises:
            NonFiniteLossError: a loss or logit was NaN or infinite.
        """
        if self._sum is not None:
            means = (self._sum / self._steps).tolist()
            self._sum, self._steps = None, 0
            self._last = dict(zip(_NAMES, means, strict=True))
            wrong = [name for name, value in self._last.items() if not math.isfinite(value)]
            if wrong:
                raise NonFiniteLossError(
                    "training.non_finite_loss",
                    f"Training broke down before image {images_seen:,}: {', '.join(wrong)} became NaN or "
                    "infinite. Lower the learning rates, or use precision fp32.",
                )
        return dict(self._last)


def gradient_norm(module: nn.Module) -> float:
    """Length of the gradient that the module's last step followed; 0 before the first step."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0

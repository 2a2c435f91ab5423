"""Cheap metrics while training: means over the steps since the last report."""

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from ml.distributed import ALONE, Crew


class Statistics(Protocol):
    """Scalars of one step."""

    def scalars(self) -> dict[str, Tensor]:
        """By name; the same names at every step of a run."""
        ...


class RunningMetrics:
    """Sums step statistics on the device; only `read` and `non_finite` wait for it."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sum: Tensor | None = None
        self._steps = 0
        self._last: dict[str, float] = {}
        self._non_finite: set[str] = set()

    def add(self, statistics: Statistics) -> None:
        """Count one step."""
        scalars = statistics.scalars()
        self._names = tuple(scalars)
        values = torch.stack(list(scalars.values()))
        self._sum = values if self._sum is None else self._sum + values
        self._steps += 1

    def read(self) -> dict[str, float]:
        """Means since the last read (or the last means when no step came since), and start over.

        Means that are NaN or infinite are left out, and remembered for `non_finite`.
        """
        if self._sum is not None:
            means = dict(zip(self._names, (self._sum / self._steps).tolist(), strict=True))
            self._sum, self._steps = None, 0
            self._last = {name: value for name, value in means.items() if math.isfinite(value)}
            self._non_finite |= means.keys() - self._last.keys()
        return dict(self._last)

    def non_finite(self, crew: Crew = ALONE) -> list[str]:
        """Names that were NaN or infinite at any step since the start or the last `forgive`, in any process.

        Processes of one crew must ask together.
        """
        if not self._names:
            return sorted(self._non_finite)
        is_bad = torch.tensor([float(name in self._non_finite) for name in self._names])
        if self._sum is not None:
            is_bad += (~self._sum.isfinite()).float().cpu()
        shares = crew.mean(is_bad).tolist()
        return sorted(name for name, share in zip(self._names, shares, strict=True) if share)

    def forgive(self) -> None:
        """Forget all steps so far: what they led to was undone."""
        self._sum, self._steps = None, 0
        self._non_finite.clear()


def mean_scalars(statistics: Statistics, crew: Crew = ALONE) -> dict[str, float]:
    """Statistics of one step, each the mean over the processes."""
    scalars = statistics.scalars()
    means = crew.mean(torch.stack([value.float() for value in scalars.values()]))
    return dict(zip(scalars, means.tolist(), strict=True))


def gradient_norm(module: nn.Module) -> float:
    """Length of the gradient that the module's last step followed; 0 before the first step."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0

"""The best snapshot so far, as part of a training state."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

_COUNTS = ("checks", "since_best", "due_images", "last_images", "best_images")
_DISTANCES = ("last_kid", "best_kid")


@dataclass
class BestSnapshot:
    """Averaged weights with the lowest kernel distance, and what measuring remembers.

    Attributes:
        weights: of the averaged generator then; those it began with before the first check.
        checks: measurements so far.
        since_best: measurements since the best one.
        due_images: images seen from which the next one is due.
        last_images: images seen at the last one; best_images: at the best one.
        last_kid: the last kernel distance; best_kid: the lowest. 0 before the first check.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    checks: int = 0
    since_best: int = 0
    due_images: int = 0
    last_images: int = 0
    best_images: int = 0
    last_kid: float = 0.0
    best_kid: float = 0.0

    def note(self, kid: float, generator: nn.Module, *, images_seen: int) -> None:
        """Count a measurement, and keep the weights if none was lower."""
        is_best = not self.checks or kid < self.best_kid
        self.checks += 1
        self.last_kid, self.last_images = kid, images_seen
        self.since_best = 0 if is_best else self.since_best + 1
        if is_best:
            self.best_kid, self.best_images = kid, images_seen
            self.weights = {name: value.detach().clone() for name, value in generator.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """As tensors, for a training state."""
        counts = torch.tensor([getattr(self, name) for name in _COUNTS])
        distances = torch.tensor([getattr(self, name) for name in _DISTANCES], dtype=torch.float64)
        weights = {f"weights.{name}": value for name, value in self.weights.items()}
        return {"counts": counts, "distances": distances, **weights}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over the values of `tensors`."""
        for names, values in ((_COUNTS, tensors["counts"]), (_DISTANCES, tensors["distances"])):
            for name, value in zip(names, values.tolist(), strict=True):
                setattr(self, name, value)
        head = "weights."
        self.weights = {
            name.removeprefix(head): value for name, value in tensors.items() if name.startswith(head)
        }

"""The order in which training sees the images: every image once an epoch, shuffled, resumable."""

import torch
from torch import Tensor


class IndexSampler:
    """Yields batches of indices; epochs follow each other without a gap, also within a batch.

    The whole state is the random generator as it was when the current epoch began, and the position in it.
    """

    def __init__(self, count: int, *, seed: int) -> None:
        self._count = count
        self._rng = torch.Generator().manual_seed(seed)
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._rng_at_epoch = self._rng.get_state()
        self._order = torch.randperm(self._count, generator=self._rng)
        self._position = 0

    def next_batch(self, size: int) -> Tensor:
        """The next `size` indices, int64 [size]."""
        parts: list[Tensor] = []
        missing = size
        while missing:
            part = self._order[self._position : self._position + missing]
            parts.append(part)
            missing -= len(part)
            self._position += len(part)
            if self._position == self._count:
                self._begin_epoch()
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def reshuffle(self, *, seed: int) -> None:
        """Begin a new epoch in an order of its own."""
        self._rng.manual_seed(seed)
        self._begin_epoch()

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs."""
        return {"rng": self._rng_at_epoch.clone(), "position": torch.tensor(self._position)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue where the sampler of this state was; it must be over as many images."""
        self._rng.set_state(state["rng"])
        self._begin_epoch()
        position = int(state["position"])
        if not 0 <= position < self._count:
            raise ValueError(f"the sampler's place {position} is not among {self._count} images")
        self._position = position

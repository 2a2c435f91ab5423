"""Several processes that train one run together, each on its share of every batch.

All processes hold the same networks and draw the same random numbers for the whole batch, of which each uses its
own rows; gradients are averaged before every update. So a run means the same on any number of processes: what
differs is rounding, and the statistics of batch norm, which each process takes over its own share. The first
process alone reports, measures and writes; it also decides for all when to stop.

Processes are started by torchrun or by a worker of the platform, see docs/howto/several-devices.md. Without them
there is one, and nothing here costs anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ml.errors import MlError

_LEAST_ROWS = 2
"""Batch norm and the diversity of a batch are undefined for a single row."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process reports, measures, writes and decides."""
        return self.rank == 0

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch that cannot be shared out evenly.

        Raises:
            MlError: it cannot.
        """
        if batch_size % self.size:
            raise MlError(
                "distributed.batch",
                f"A batch of {batch_size} cannot be shared by {self.size} processes: choose a batch_size that is "
                f"a multiple of {self.size}.",
            )

    def share(self, rows: Tensor) -> Tensor:
        """This process's rows of what belongs to the whole batch: [size * N, ...] -> [N, ...]."""
        return rows if self.size == 1 else rows.chunk(self.size)[self.rank]

    def normal(self, count: int, length: int, rng: torch.Generator) -> Tensor:
        """Standard normal noise for this process's `count` rows, drawn for all: float32 [count, length]."""
        return self.share(torch.randn(count * self.size, length, generator=rng))

    def average_gradients(self, module: nn.Module) -> None:
        """Replace the module's gradients by their means over all processes."""
        if self.size > 1:
            self._average([parameter.grad for parameter in module.parameters() if parameter.grad is not None])

    def mean(self, values: Tensor) -> Tensor:
        """Means over all processes; NaN where one of them has NaN."""
        if self.size == 1:
            return values
        averaged = values.clone()
        self._average([averaged])
        return averaged

    def agree(self, choice: int) -> int:
        """What the first process chose."""
        if self.size == 1:
            return choice
        told = torch.tensor(choice)
        dist.broadcast(told, src=0)
        return int(told)

    def _average(self, tensors: list[Tensor]) -> None:
        """One message for all of them, since each has a price of its own."""
        together = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(together)
        together /= self.size
        parts = torch.split(together, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


ALONE = Crew()


def largest_crew(batch_size: int, most: int) -> int:
    """The largest number of processes, at most `most`, that share a batch evenly with two rows each or more."""
    return max(
        (size for size in range(2, most + 1) if batch_size % size == 0 and batch_size // size >= _LEAST_ROWS),
        default=1,
    )


def current_crew() -> Crew:
    """The processes that this one works with, as `joined` set them up."""
    if dist.is_available() and dist.is_initialized():
        return Crew(dist.get_rank(), dist.get_world_size())
    return ALONE


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where processes of one machine meet that torchrun did not start.

    Attributes:
        file: in a folder of theirs alone; made by the first to come, and new for each run.
        rank: number of this process, from 0.
        size: how many there are.
    """

    file: Path
    rank: int
    size: int


@contextmanager
def joined(local_rank: int, meeting: Meeting | None = None) -> Iterator[Crew]:
    """Meet the other processes, for as long as the block runs.

    Args:
        local_rank: number of this process on its machine: which of its GPUs to take.
        meeting: where; None takes what torchrun put into the environment.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    # What processes tell each other about the run goes over gloo, gradients on GPUs over NCCL.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if meeting is None:
        dist.init_process_group(backend)
    else:
        place = f"file://{meeting.file}"
        dist.init_process_group(backend, init_method=place, rank=meeting.rank, world_size=meeting.size)
    try:
        yield current_crew()
    finally:
        dist.destroy_process_group()

"""The numeric surroundings of a run: device, threads, determinism."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def default_device() -> torch.device:
    """The first GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def deterministic_mode(enabled: bool) -> Iterator[None]:
    """Make equal inputs give equal bits while the block runs; without `enabled`, change nothing.

    One thread: how a sum is split between threads decides how it rounds, and machines differ in cores.
    """
    if not enabled:
        yield
        return
    threads = torch.get_num_threads()
    debug_mode = torch.get_deterministic_debug_mode()
    benchmark = torch.backends.cudnn.benchmark
    torch.set_num_threads(1)
    # Not `use_deterministic_algorithms`, which sets the same and loads the compiler, to tell it too.
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(debug_mode)
        torch.backends.cudnn.benchmark = benchmark

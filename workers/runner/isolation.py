"""What a runner does to its own process before any work: it dies with its parent, keeps within limits, and
keeps its protocol apart from whatever libraries print.

Loads neither torch nor the protocol, so that all of it holds before anything heavy is imported.
"""

import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

MAX_FILE_BYTES = 32 << 30
"""No file of a job may grow beyond this: a bug must not fill the disk that other jobs share."""

_PR_SET_PDEATHSIG = 1


def end_now(status: int, why: str) -> NoReturn:
    """End this process without clean-up, in the middle of whatever other threads do."""
    # Whoever read our stderr may be as gone as whoever we spoke with.
    with contextlib.suppress(OSError):
        os.write(2, f"runner {os.getpid()}: {why}\n".encode())
    os._exit(status)


def die_with_parent(parent_pid: int) -> bool:
    """Ask the kernel for SIGKILL when the parent's thread that started us ends (Linux; elsewhere a no-op).

    Returns:
        Whether `parent_pid` is still the parent. If not, it died before the kernel was asked, and nobody
        is left to be told anything: the caller should end.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    return os.getppid() == parent_pid


def take_protocol_pipes() -> tuple[int, int]:
    """Move the protocol to private descriptors and return them as (incoming, outgoing).

    Afterwards descriptor 1 is stderr and descriptor 0 is empty, for Python and for C libraries alike, so
    nothing a library prints or reads can touch the protocol.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing


def limit_resources() -> None:
    """Allow no core files (they would hold users' data) and no file above `MAX_FILE_BYTES`; files are private."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower_limit(resource.RLIMIT_FSIZE, MAX_FILE_BYTES)
    os.umask(0o077)


def limit_memory(extra_bytes: int) -> None:
    """Let the job take so much address space beyond what the loaded libraries have mapped by now.

    Libraries map gigabytes they never touch, so a limit on the total would say nothing about the job.
    Not for processes that use CUDA: it reserves far more address space than there is memory.
    """
    mapped_pages = int(Path("/proc/self/statm").read_text().split()[0])
    _lower_limit(resource.RLIMIT_AS, mapped_pages * resource.getpagesize() + extra_bytes)


def dump_stacks_on_signal() -> None:
    """Write the stacks of all threads to stderr on SIGUSR1 and on a crash: why is it stuck, where did it die."""
    faulthandler.enable(all_threads=True)
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)


def _lower_limit(which: int, wanted: int) -> None:
    _, hard = resource.getrlimit(which)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(which, (allowed, allowed))

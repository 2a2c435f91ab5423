"""Processes of this host: who is who, and who is dead."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of one boot: unlike a bare pid, never used again.

    Attributes:
        host: its name.
        place: boot id and pid namespace; within it the other two mean something.
        started: clock ticks after boot.
    """

    host: str
    place: str
    pid: int
    started: int


def this_process() -> ProcessIdentity:
    pid = os.getpid()
    return ProcessIdentity(host=socket.gethostname(), place=_place(), pid=pid, started=_started(pid) or 0)


def is_dead(pid: int, started: int) -> bool:
    """Tell whether the process that had this pid, in this place, is gone (its pid may be another's by now)."""
    return _started(pid) != started


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    return f"{boot}/{namespace}"


def _started(pid: int) -> int | None:
    """Return the start of a living process in clock ticks after boot; None for one that is gone or a zombie."""
    try:
        # The second field is the program's name in parentheses and may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in {"Z", "X"} else int(started)

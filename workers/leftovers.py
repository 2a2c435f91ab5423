"""Runners of this host that nobody looks after any more."""

import os
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

log = structlog.get_logger(__name__)

_RUNNER_MODULES = frozenset({"workers.runner", "workers.runner.peer"})


def kill_leftover_runners(scratch_root: Path) -> int:
    """Kill runners below this scratch folder whose supervisor is gone; return how many there were.

    They should have died with it. One that did not would share the device with its successor.
    """
    killed = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if _is_leftover(process, scratch_root):
                log.warning("leftover_runner_killed", pid=process.pid)
                _kill_group(process)
                killed += 1
    return killed


def _is_leftover(process: psutil.Process, scratch_root: Path) -> bool:
    arguments = process.cmdline()
    if _RUNNER_MODULES.isdisjoint(arguments) or "--parent-pid" not in arguments:
        return False
    # Compared as text: what merely speaks of a runner in its arguments may have any word there.
    supervisor = arguments[arguments.index("--parent-pid") + 1]
    home = Path(process.environ().get("HOME", "/"))
    return str(process.ppid()) != supervisor and home.is_relative_to(scratch_root)


def _kill_group(process: psutil.Process) -> None:
    # A runner leads a session of its own, and its peers are in its group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(os.getpgid(process.pid), 9)

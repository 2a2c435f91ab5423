"""Real engine and worker processes for tests: started as an operator would, stopped and killed as the world does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from aigc_platform.settings.env import REPOSITORY_DIR

ALL_QUEUES = ("gpu.train", "gpu.sample", "cpu.io")
QUICK = {
    "LEASE_SECONDS": "6",
    "HEARTBEAT_SECONDS": "1",
    "REAPER_INTERVAL_SECONDS": "0.5",
    "CHECKPOINT_SECONDS": "1",
    "LOG_LEVEL": "INFO",
}
"""Settings that make a lost worker visible in seconds instead of a minute."""

T = TypeVar("T")


class PlatformProcesses:
    """Starts processes of the platform against the test session's servers; `stop` leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def start_engine(self, **environment: str) -> subprocess.Popen[bytes]:
        return self._start("engine", [sys.executable, "manage.py", "run_engine"], environment)

    def start_worker(
        self, queues: Sequence[str] = ALL_QUEUES, *, options: Sequence[str] = (), **environment: str
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "--pool", "prefork"]
        command += [
            "--concurrency",
            "1",
            "-Q",
            ",".join(queues),
            "--without-mingle",
            "--without-gossip",
            *options,
        ]
        return self._start("worker", command, environment)

    def stop(self) -> None:
        """Ask every process to end, then kill it and all its children."""
        children = [child for process in self._started for child in _descendants(process.pid)]
        for process in self._started:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def log(self) -> str:
        """Return what all processes have printed so far."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')}"
            for path in sorted(self.folder.glob("*.log"))
        )

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        log_path = self.folder / f"{name}-{len(self._started)}.log"
        settings = {"DJANGO_SETTINGS_MODULE": "aigc_platform.settings.testing", "DATA_DIR": str(self.folder)}
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=REPOSITORY_DIR,
                env=os.environ | settings | QUICK | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process


def _descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def runner_of(worker: subprocess.Popen[bytes]) -> psutil.Process:
    """Return the runner that a worker has started.

    Raises:
        LookupError: it has none.
    """
    for child in _descendants(worker.pid):
        with suppress(psutil.NoSuchProcess):
            if "workers.runner" in child.cmdline():
                return child
    raise LookupError(f"worker {worker.pid} has no runner")


def wait_for(condition: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Return the condition's first true value; fail with `what` if it stays false."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:g} s")

"""A whole standalone stack as one child process, for tests that look at it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from aigc_platform.settings.env import REPOSITORY_DIR, variable_names
from aigc_platform.standalone.ports import free_ports


class StackProcess:
    """`manage.py standalone` in a folder of its own, on a free port."""

    def __init__(self, folder: Path, *, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        [self.port] = free_ports(1)
        self.log_path = folder.parent / f"{folder.name}.log"
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: set[psutil.Process] = set()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, seconds: float = 200) -> None:
        """Start the stack and wait until it says that it is ready."""
        self.launch()
        deadline = time.monotonic() + seconds
        while "The platform is ready." not in self.log_path.read_text():
            assert self._process is not None
            assert self._process.poll() is None, f"the stack ended:\n{self.log_path.read_text()}"
            assert time.monotonic() < deadline, f"not ready in {seconds} s:\n{self.log_path.read_text()}"
            time.sleep(0.1)

    def launch(self) -> None:
        """Start the stack without waiting."""
        known = {name: value for name, value in os.environ.items() if name not in variable_names()}
        known.pop("DJANGO_SETTINGS_MODULE", None)
        ours = {"DATA_DIR": str(self.folder), "PORT": str(self.port)}
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(REPOSITORY_DIR / "manage.py"), "standalone"],
                env={**known, **ours, **self._environment},
                cwd=self.folder.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def exit_code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def log(self) -> str:
        return self.log_path.read_text()

    def credentials(self) -> dict[str, str]:
        content: dict[str, str] = json.loads((self.folder / "credentials.json").read_text())
        return content

    def processes(self) -> list[psutil.Process]:
        """Return every process of the stack that runs now, and remember it."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.pid)
            self._seen.update({parent, *parent.children(recursive=True)})
        return [process for process in self._seen if _runs(process)]

    def child(self, text: str) -> psutil.Process:
        """Return the process directly under the supervisor whose command line contains the text."""
        children = psutil.Process(self.pid).children()
        return next(child for child in children if text in " ".join(child.cmdline()))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor alone."""
        self.processes()
        os.kill(self.pid, number)

    def wait_until_gone(self, *, seconds: float) -> float:
        """Wait until no process of the stack is left; return how long that took.

        Raises:
            AssertionError: some are left after that many seconds.
        """
        assert self._process is not None
        started_at = time.monotonic()
        while (left := self.processes()) or self._process.poll() is None:
            assert time.monotonic() - started_at < seconds, f"still running: {left}\n{self.log()}"
            time.sleep(0.05)
        return time.monotonic() - started_at

    def stop(self) -> None:
        """End the stack whatever state it is in."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

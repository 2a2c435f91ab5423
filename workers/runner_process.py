"""The supervisor's end of a runner: start it, speak with it, end it and everything it started."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from workers.bell import Bell
from workers.runner.protocol import (
    MAX_LINE_BYTES,
    ArtifactReady,
    CheckpointReady,
    Event,
    Failed,
    Finished,
    Message,
    Progress,
    Ready,
    Stopped,
    encode,
    from_runner,
)

FromRunnerMessage = Ready | Progress | Event | CheckpointReady | ArtifactReady | Finished | Stopped | Failed

_TERM_GRACE_SECONDS = 5.0
_LAST_WORDS_SECONDS = 2.0
_LOG_TAIL_BYTES = 64 * 1024
_READ_BYTES = 1 << 16
# What a runner may know of its parent's environment: nothing that holds a credential.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "VIRTUAL_ENV")


class RunnerDiedError(Exception):
    """The runner is gone. `exit_code` is negative for a signal, as in `subprocess`."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        how = f"signal {-exit_code}" if exit_code < 0 else f"exit status {exit_code}"
        super().__init__(f"The runner ended with {how}.")


class RunnerProtocolError(Exception):
    """The runner said something that is not in the protocol."""


class RunnerProcess:
    """A runner in a session of its own. Start it from the main thread: it dies with the thread that starts it."""

    def __init__(
        self,
        kind: str,
        *,
        threads: int,
        device: str,
        scratch: Path,
        environment: Mapping[str, str],
        handler: str | None = None,
        memory_limit_bytes: int | None = None,
    ) -> None:
        arguments = [sys.executable, "-m", "workers.runner", "--kind", kind]
        if handler is not None:
            arguments += ["--handler", handler]
        arguments += ["--parent-pid", str(os.getpid()), "--threads", str(threads)]
        if memory_limit_bytes is not None:
            arguments += ["--memory-limit-bytes", str(memory_limit_bytes)]
        self.kind = kind
        self.device = device
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_runner_environment(environment, scratch),
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 — Popen was given PIPE
        # A runner that does not read must not be able to stop its supervisor in a write.
        os.set_blocking(self._process.stdin.fileno(), False)
        self._has_spoken = False
        self._unsent = bytearray()
        self._buffer = bytearray()
        self._log: deque[bytes] = deque()
        self._log_bytes = 0
        self._log_reader = threading.Thread(target=self._keep_log_tail, name="runner-log", daemon=True)
        self._log_reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Message) -> None:
        """Write one message, or keep what the pipe does not take for the next `receive`.

        Raises:
            RunnerDiedError: nobody reads any more.
        """
        self._unsent += encode(message)
        self._flush()

    def receive(self, timeout_seconds: float, *, wake: Bell | None = None) -> FromRunnerMessage | None:
        """Return the next message, or None if none comes in time or before `wake` is rung.

        Raises:
            RunnerDiedError: the runner has ended and everything it said was received.
            RunnerProtocolError: it sent a line that is no message, or one without end.
        """
        line = self._next_line(time.monotonic() + timeout_seconds, wake)
        if line is None:
            return None
        self._has_spoken = True
        try:
            return from_runner.validate_json(line)
        except ValidationError as error:
            raise RunnerProtocolError(f"The runner sent an unknown message: {line[:200]!r}") from error

    def wait(self, timeout_seconds: float) -> bool:
        """Return whether the runner ended by itself within the time."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stacks(self, timeout_seconds: float = 2.0) -> str:
        """Ask the runner where all its threads are; return what it printed since, or why there is nothing."""
        if not self._has_spoken:
            # The signal kills a process that does not expect it yet.
            return "The runner was still starting: it has not said a word."
        before = self._log_bytes
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + timeout_seconds
        while self._log_bytes == before and time.monotonic() < deadline:
            time.sleep(0.05)
        if self._log_bytes == before:
            return "The runner did not answer: it is stopped, or its machine is."
        # A dump of many threads comes in pieces.
        time.sleep(0.2)
        return self.log_tail()[-(self._log_bytes - before) :].decode(errors="replace")

    def log_tail(self) -> bytes:
        """Return the last 64 KiB of what the runner and its libraries printed."""
        return b"".join(self._log)[-_LOG_TAIL_BYTES:]

    def kill(self) -> int:
        """End the runner's whole group: SIGTERM, five seconds of grace, SIGKILL. Returns its exit code."""
        self._signal_group(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_TERM_GRACE_SECONDS)
        # The leader may be gone while children of it live on.
        self._signal_group(signal.SIGKILL)
        code = self._process.wait()
        self._close()
        return code

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _close(self) -> None:
        self._log_reader.join(timeout=1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _next_line(self, deadline: float, wake: Bell | None) -> bytes | None:
        assert self._process.stdout is not None  # noqa: S101 — Popen was given PIPE
        descriptor = self._process.stdout.fileno()
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return line
            if len(self._buffer) > MAX_LINE_BYTES:
                raise RunnerProtocolError(f"The runner sent a line of over {MAX_LINE_BYTES:,} bytes.")
            writable = [self._process.stdin.fileno()] if self._unsent and self._process.stdin else []
            timeout = max(0.0, deadline - time.monotonic())
            awaited = [descriptor] if wake is None else [descriptor, wake.fileno()]
            readable, writable, _ = select.select(awaited, writable, [], timeout)
            if writable:
                self._flush()
            if wake is not None and wake.fileno() in readable:
                wake.hush()
                deadline = 0.0
            if descriptor not in readable:
                if time.monotonic() >= deadline:
                    return None
                continue
            chunk = os.read(descriptor, _READ_BYTES)
            if not chunk:
                raise RunnerDiedError(self._exit_code())
            self._buffer += chunk

    def _flush(self) -> None:
        assert self._process.stdin is not None  # noqa: S101 — Popen was given PIPE
        try:
            while self._unsent:
                written = os.write(self._process.stdin.fileno(), self._unsent)
                del self._unsent[:written]
        except BlockingIOError:
            return
        except (OSError, ValueError):
            # ValueError: the pipe was closed when the runner was ended.
            raise RunnerDiedError(self._exit_code()) from None

    def _exit_code(self) -> int:
        """Return how a runner ended that closed its pipes; one that lives on without them is ended now."""
        try:
            return self._process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            return self.kill()

    def _keep_log_tail(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 — Popen was given PIPE
        kept = 0
        while chunk := os.read(self._process.stderr.fileno(), _READ_BYTES):
            self._log.append(chunk)
            self._log_bytes += len(chunk)
            kept += len(chunk)
            while kept - len(self._log[0]) > _LOG_TAIL_BYTES:
                kept -= len(self._log.popleft())


def _runner_environment(environment: Mapping[str, str], scratch: Path) -> dict[str, str]:
    passed = {name: environment[name] for name in _PASSED_ON if name in environment}
    return passed | {"HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}

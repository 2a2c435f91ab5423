"""Keeps the programs of the stack running, shows their output, and stops them in order.

honcho's own manager ends every program as soon as one of them ends, and cannot start one again; so only its printer
is used. One thread does everything here: the kernel's parent-death signal is tied to the thread that forks.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.output import Output
from aigc_platform.standalone.processes import ProcessSpec, failure, kill_group, open_log, spawn

_TICK_SECONDS = 0.1
_LONGEST_BACK_OFF_SECONDS = 30
# A program that ran this long was healthy: its next failure counts as the first one.
_HEALTHY_SECONDS = 60
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """Somebody asked the stack to stop."""


class _Child:
    """A program that should run, and its present process if it does."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_again_at = 0.0
        self.failures = 0
        self.unfinished_line = b""


class Supervisor:
    """Starts, watches, restarts and stops programs. Use it in a `with` block: leaving it stops them all."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._children: dict[str, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._stop_requests = 0

    @contextmanager
    def running(self) -> Iterator["Supervisor"]:
        """Listen for requests to stop; at the end stop everything, newest program first."""
        # `nohup` has the closing of the terminal ignored, and means it.
        with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        heard = _STOP_SIGNALS if with_terminal else _STOP_SIGNALS[:-1]
        earlier = {number: signal.signal(number, self._on_stop_signal) for number in heard}
        try:
            yield self
        except StopRequested:
            self._output.say("Stopping…")
        finally:
            self._stop_all()
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start programs side by side and wait until each of them serves.

        Raises:
            StandaloneError: one of them ended or served nothing in time.
            StopRequested: a signal came while waiting.
        """
        for spec in specs:
            self._children[spec.name] = _Child(spec)
            self._launch(self._children[spec.name])
        for spec in specs:
            self._wait_until_ready(self._children[spec.name])

    def run_once(self, spec: ProcessSpec) -> None:
        """Run a program to its end, showing its output.

        Raises:
            StandaloneError: it failed.
            StopRequested: a signal came while it ran.
        """
        child = _Child(spec)
        self._children[spec.name] = child
        self._launch(child)
        assert child.process is not None  # noqa: S101 - just launched
        while child.process.poll() is None:
            self._turn()
        self._drain(child)
        del self._children[spec.name]
        if child.process.returncode != 0:
            raise StandaloneError(
                f"{spec.name} failed with code {child.process.returncode}; its lines are above"
            )

    def watch(self) -> None:
        """Show output and start again what ends, until a signal asks to stop (`StopRequested`)."""
        while True:
            self._turn()
            for child in self._children.values():
                self._mind(child)

    def _mind(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_again_at:
                self._launch(child)
            return
        code = child.process.poll()
        if code is None:
            return
        self._drain(child)
        kill_group(child.process)
        child.process = None
        child.failures = 1 if now - child.started_at > _HEALTHY_SECONDS else child.failures + 1
        delay = min(2 ** (child.failures - 1), _LONGEST_BACK_OFF_SECONDS)
        child.start_again_at = now + delay
        self._output.say(f"{child.spec.name} {_ending(code)}; starting it again in {delay} s")

    def _launch(self, child: _Child) -> None:
        spec = child.spec
        child.started_at = time.monotonic()
        if spec.log_path is not None:
            with open_log(spec.log_path) as log:
                child.process = spawn(spec, output=log)
            return
        child.process = spawn(spec, output=subprocess.PIPE)
        assert child.process.stdout is not None  # noqa: S101 - it is a pipe
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _wait_until_ready(self, child: _Child) -> None:
        spec = child.spec
        deadline = time.monotonic() + spec.ready_seconds
        while spec.is_ready is not None and not spec.is_ready():
            self._turn()
            code = child.process.poll() if child.process else None
            if code is not None or time.monotonic() > deadline:
                self._drain(child)
                raise StandaloneError(failure(spec, code))

    def _turn(self) -> None:
        """Show what programs printed within one tick; leave if somebody asked to stop."""
        if not self._selector.get_map():
            time.sleep(_TICK_SECONDS)
        for key, _ in self._selector.select(_TICK_SECONDS):
            self._read(key.data)
        if self._stop_requests:
            raise StopRequested

    def _read(self, child: _Child) -> bool:
        """Show what one program printed; False at the end of its output."""
        if child.process is None or child.process.stdout is None or child.process.stdout.closed:
            return False
        pipe = child.process.stdout
        chunk = os.read(pipe.fileno(), 65_536)
        *lines, child.unfinished_line = (child.unfinished_line + chunk).split(b"\n")
        if not chunk:
            lines, child.unfinished_line = [line for line in (*lines, child.unfinished_line) if line], b""
            self._selector.unregister(pipe)
            pipe.close()
        for line in lines:
            self._output.line(child.spec.name, line)
        return bool(chunk)

    def _drain(self, child: _Child) -> None:
        """Show what an ended program left in its pipe, without waiting for whoever inherited it."""
        while any(key.data is child for key, _ in self._selector.select(0)) and self._read(child):
            pass
        if child.process and child.process.stdout and not child.process.stdout.closed:
            self._selector.unregister(child.process.stdout)
            child.process.stdout.close()

    def _stop_all(self) -> None:
        """Stop in the opposite order of starting; a second signal kills at once."""
        patience = self._stop_requests + 1
        for child in reversed(self._children.values()):
            process = child.process
            if process is None:
                continue
            if process.poll() is None:
                process.send_signal(child.spec.stop_signal)
            deadline = time.monotonic() + child.spec.stop_seconds
            while process.poll() is None and time.monotonic() < deadline and self._stop_requests < patience:
                for key, _ in self._selector.select(0.02):
                    self._read(key.data)
                if not self._selector.get_map():
                    time.sleep(0.02)
            if process.poll() is None:
                self._output.say(
                    f"{child.spec.name} did not stop in {child.spec.stop_seconds:g} s and was killed"
                )
            kill_group(process)
            process.wait()
            self._drain(child)
            child.process = None
        self._children.clear()

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    return f"was ended by {signal.Signals(-code).name}"

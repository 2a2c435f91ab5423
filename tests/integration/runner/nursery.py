"""A process that has loaded what runners load, and forks one whenever a test asks for it.

Loading torch takes a runner longer than all that most tests want of it. A forked runner runs the same `main` with the
same arguments, pipes, session and parent-death signal; what depends on a fresh interpreter needs a fresh one
(`Runner(..., is_fresh=True)`).

`python -m tests.integration.runner.nursery SOCKET` serves until its standard input ends. A test connects to the socket
and sends a request with three descriptors; it is told the runner's process id, and when it has ended its exit status.
"""

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Self

REPOSITORY = Path(__file__).parents[3]
_START_SECONDS = 120.0
_REQUEST_BYTES = 1 << 16
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Child:
    """A forked runner, with as much of `subprocess.Popen` as tests use."""

    def __init__(self, connection: socket.socket, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self.stdin, self.stdout = stdin, stdout
        self.returncode: int | None = None
        self._connection = connection
        self._answers = connection.makefile("r")
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self._note_end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("runner", timeout or 0)
            self._note_end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _note_end(self) -> None:
        self.returncode = int(self._answers.readline())
        self._answers.close()
        self._connection.close()


class Nursery:
    """The test's side: the process that forks, started at once and ended by `close`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "nursery"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.runner.nursery", str(self._path)],
            stdin=subprocess.PIPE,
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **_ONE_THREAD},
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], stderr: BinaryIO) -> Child:
        """Start a runner with these arguments and this environment alone."""
        with ExitStack() as stack:
            theirs_in, ours_in = os.pipe()
            ours_out, theirs_out = os.pipe()
            for descriptor in (theirs_in, theirs_out):
                stack.callback(os.close, descriptor)
            connection = self._connect()
            request = json.dumps({"arguments": list(arguments), "environment": dict(environment)})
            socket.send_fds(connection, [request.encode()], [theirs_in, theirs_out, stderr.fileno()])
            return Child(connection, os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb"))

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                assert self._process.poll() is None, "the nursery ended"
                assert time.monotonic() < deadline, "the nursery does not start"
                time.sleep(0.05)
            else:
                return connection


def _load() -> None:
    from workers.runner.kinds import HANDLERS, load_handler

    for kind in HANDLERS:
        load_handler(kind)
    # What is here now stays: the runners need not look through it again and again.
    gc.freeze()


def _serve(path: str) -> None:
    """Fork until standard input ends. One thread alone, so that a fork is a whole process."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        watched: list[int | socket.socket] = [0, listening, *running]
        ready, _, _ = select.select(watched, [], [])
        if 0 in ready:
            return
        for handle in [number for number in running if number in ready]:
            pid, connection = running.pop(handle)
            os.close(handle)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with suppress(BrokenPipeError):
                connection.sendall(f"{status}\n".encode())
            connection.close()
        if listening in ready:
            connection, _ = listening.accept()
            request, descriptors, _, _ = socket.recv_fds(connection, _REQUEST_BYTES, 3)
            pid = os.fork()
            if pid == 0:
                for handle, (_, other) in running.items():
                    os.close(handle)
                    other.close()
                listening.close()
                connection.close()
                _become_runner(json.loads(request), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            running[os.pidfd_open(pid)] = (pid, connection)
            connection.sendall(f"{pid}\n".encode())


def _become_runner(request: dict[str, object], descriptors: Sequence[int]) -> None:
    """Be what `python -m workers.runner` is after its imports, and end as it does."""
    from workers.runner.__main__ import main

    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    arguments, environment = request["arguments"], request["environment"]
    assert isinstance(arguments, list)
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["workers.runner", *arguments]
    sys.exit(main())


if __name__ == "__main__":
    _load()
    _serve(sys.argv[1])

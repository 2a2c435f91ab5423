"""A real runner in a process of its own, driven over its pipes as the supervisor does it."""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from tests.integration.runner.nursery import REPOSITORY, Child, Nursery
from workers.runner.protocol import (
    ArtifactReady,
    CheckpointReady,
    Event,
    Exit,
    Failed,
    Finished,
    JobItem,
    Message,
    Progress,
    Ready,
    Start,
    Stopped,
    encode,
    from_runner,
)

FromRunner = Ready | Progress | Event | CheckpointReady | ArtifactReady | Finished | Stopped | Failed
M = TypeVar("M", bound=Message)

START_SECONDS = 60.0
ANSWER_SECONDS = 60.0


def runner_command(kind: str, *, parent_pid: int, arguments: Sequence[str] = ()) -> list[str]:
    base = [sys.executable, "-m", "workers.runner", "--kind", kind, "--parent-pid", str(parent_pid)]
    return [*base, *(arguments or ("--threads", "1"))]


def arguments_of(command: Sequence[str]) -> Sequence[str]:
    """Return what follows the program in a `runner_command`."""
    return command[command.index("workers.runner") + 1 :]


def runner_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONUNBUFFERED": "1", **(extra or {})}


class Runner:
    """The test's side of the pipes. Every line the runner writes must be a message: others fail the test.

    With a nursery the runner is forked from it, without it is a process that starts from nothing.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        parent_pid: int | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        self._stderr = folder / f"stderr-{time.monotonic_ns()}.log"
        parent_pid = parent_pid or (nursery.pid if nursery is not None else os.getpid())
        command = runner_command(kind, parent_pid=parent_pid, arguments=arguments)
        variables = runner_environment(folder, environment)
        self.process: subprocess.Popen[bytes] | Child
        with self._stderr.open("wb") as stderr:
            if nursery is not None:
                self.process = nursery.fork(arguments_of(command), variables, stderr)
            else:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=variables,
                    cwd=REPOSITORY,
                    start_new_session=True,
                )
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.close_stdin()
        assert self.process.stdout is not None
        self.process.stdout.close()
        if error is not None:
            error.add_note(f"The runner's stderr:\n{self.stderr()[-4000:]}")

    def stderr(self) -> str:
        return self._stderr.read_text(errors="replace")

    def send(self, message: Message) -> None:
        self.send_raw(encode(message))

    def send_raw(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def start(self, *items: JobItem, checkpoint_seconds: float = 3600.0) -> None:
        self.send(Start(items=list(items), checkpoint_seconds=checkpoint_seconds))

    def receive(self, timeout: float = ANSWER_SECONDS) -> FromRunner | None:
        """The next message, or None at the end of the runner's output."""
        line = self._lines.get(timeout=timeout)
        return None if line is None else from_runner.validate_json(line)

    def wait_for(self, kind: type[M], timeout: float = ANSWER_SECONDS, *, job: str | None = None) -> M:
        """Skip messages until one of this kind (about this job)."""
        deadline = time.monotonic() + timeout
        while (message := self.receive(max(0.01, deadline - time.monotonic()))) is not None:
            if isinstance(message, kind) and (job is None or getattr(message, "job_id", None) == job):
                return message
        raise AssertionError(f"the runner ended without {kind.__name__}: {self.stderr()[-4000:]}")

    def ready(self) -> Ready:
        return self.wait_for(Ready, START_SECONDS)

    def until_ended(self, jobs: int = 1, timeout: float = ANSWER_SECONDS) -> list[FromRunner]:
        """All messages up to the one that ends the last of so many jobs."""
        messages: list[FromRunner] = []
        deadline = time.monotonic() + timeout
        while jobs:
            message = self.receive(max(0.01, deadline - time.monotonic()))
            assert message is not None, f"the runner ended too early: {self.stderr()[-4000:]}"
            messages.append(message)
            jobs -= isinstance(message, Finished | Stopped | Failed)
        return messages

    def exit_status(self, timeout: float = 20.0) -> int:
        return self.process.wait(timeout)

    def exit(self) -> int:
        self.send(Exit())
        return self.exit_status()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)


def item(
    workspace: Path,
    spec: Mapping[str, Any],
    *,
    job_id: str = "job-1",
    inputs: Mapping[str, Path] | None = None,
    resume: Path | None = None,
    provenance: Mapping[str, str] | None = None,
) -> JobItem:
    """A job with a workspace of its own below `workspace`."""
    folder = workspace / job_id
    folder.mkdir(parents=True, exist_ok=True)
    return JobItem(
        job_id=job_id,
        attempt=1,
        workspace=str(folder),
        spec=dict(spec),
        inputs={name: str(path) for name, path in (inputs or {}).items()},
        resume=str(resume) if resume is not None else None,
        provenance=dict(provenance or {}),
    )


def only(messages: Sequence[FromRunner], kind: type[M]) -> M:
    (message,) = of_kind(messages, kind)
    return message


def of_kind(messages: Sequence[FromRunner], kind: type[M]) -> list[M]:
    return [message for message in messages if isinstance(message, kind)]


class StartRunner(Protocol):
    """Starts a runner; see `Runner`."""

    def __call__(self, kind: str, folder: Path, *, arguments: Sequence[str] = ()) -> Runner: ...


def start_runner_in(nursery: Nursery) -> StartRunner:
    """Return what starts runners that this nursery forks."""

    def start(kind: str, folder: Path, *, arguments: Sequence[str] = ()) -> Runner:
        return Runner(kind, folder, arguments=arguments, nursery=nursery)

    return start

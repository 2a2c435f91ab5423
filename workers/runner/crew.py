"""A training on several devices: the runner is the first of a crew, and starts, watches and ends its peers.

Peers belong to the runner's process group and die with it, so whoever ends the runner ends all of them. They have no
protocol: limits and environment are the runner's own, inherited, and what one of them knows about its end it leaves as
a file.
"""

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from ml.distributed import Meeting, joined
from workers.runner import failures
from workers.runner.failures import JobError
from workers.runner.isolation import end_now
from workers.runner.job import Job
from workers.runner.protocol import Failed, JobItem

log = logging.getLogger(__name__)

_JOB_FILENAME = "job.json"
_MEETING_FILENAME = "meeting"
_WATCH_SECONDS = 0.2
_ECHO_SECONDS = 10.0
"""An error of ours may be the echo of a peer's end; so long the watch gets to notice that end."""
_FAREWELL_SECONDS = 5.0


@contextmanager
def working_together(job: Job, size: int) -> Iterator[None]:
    """Have `size - 1` peers train along while the block runs; must be entered in the main thread.

    When a peer ends before the block does, the job fails with the reason for it and this process ends at once: it may
    be inside an operation that waits for that peer for ever.
    """
    if size == 1:
        yield
        return
    folder = job.workspace / "crew"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / _JOB_FILENAME).write_text(job.item.model_dump_json())
    with _Peers(job, size, folder) as peers, ExitStack() as stack:
        try:
            stack.enter_context(joined(0, meeting_of(folder, 0, size)))
            yield
        except Exception as error:
            if not failures.is_known(error):
                peers.watch_on(_ECHO_SECONDS)
            # Before this process takes its leave of them: they may wait for it inside an operation.
            peers.kill()
            raise


def meeting_of(folder: Path, rank: int, size: int) -> Meeting:
    """Where the processes of the crew with this folder meet."""
    return Meeting(folder / _MEETING_FILENAME, rank, size)


def read_job(folder: Path) -> JobItem:
    """What the crew with this folder works on."""
    return JobItem.model_validate_json((folder / _JOB_FILENAME).read_text())


def leave_word(folder: Path, rank: int, failed: Failed) -> None:
    """In a peer: say why it ends."""
    _word_path(folder, rank).write_text(failed.model_dump_json())


def _word_path(folder: Path, rank: int) -> Path:
    return folder / f"failed-{rank}.json"


class _Peers:
    """The further processes of a crew, from their start to their end."""

    def __init__(self, job: Job, size: int, folder: Path) -> None:
        self._job = job
        self._size = size
        self._folder = folder
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._watch_over, name="peer-watch", daemon=True)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for rank in range(1, self._size):
            arguments = ["--rank", str(rank), "--size", str(self._size), "--folder", str(self._folder)]
            self._processes[rank] = subprocess.Popen(
                [sys.executable, "-m", "workers.runner.peer", "--parent-pid", str(os.getpid()), *arguments]
            )
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_watch()
        for process in self._processes.values():
            _wait(process, _FAREWELL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End them: they keep nothing."""
        self._end_watch()
        for process in self._processes.values():
            process.kill()
            process.wait()

    def watch_on(self, seconds: float) -> None:
        """Give the watch time: it ends this process if a peer has ended."""
        self._watch.join(seconds)

    def _end_watch(self) -> None:
        self._is_over.set()
        self._watch.join()

    def _watch_over(self) -> None:
        while not self._is_over.wait(_WATCH_SECONDS):
            loss = self._loss()
            if loss is not None:
                end_now(self._job.fail(loss), loss.message)

    def _loss(self) -> JobError | None:
        """Why a peer has ended that should not have, if one has: what one said before what was only seen."""
        ended = {rank: code for rank, process in self._processes.items() if (code := process.poll())}
        for rank in ended:
            if (path := _word_path(self._folder, rank)).exists():
                said = Failed.model_validate_json(path.read_text())
                return JobError(said.reason, said.code, said.message, said.errors)
        # Who was killed comes before who ended because of that.
        for rank, code in sorted(ended.items(), key=lambda end: end[1]):
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            return JobError(
                "worker_lost",
                "runner.peer_lost",
                f"Process {rank + 1} of the {self._size} that shared the training out ended with {how}. It was "
                "started again as often as the job allows.",
            )
        return None


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        log.warning("peer %d does not end by itself", process.pid)

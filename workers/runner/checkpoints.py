"""Handing training states to the supervisor while training goes on."""

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from workers.runner.job import Job

FINAL_COMMIT_SECONDS = 60.0
"""How long a stopping run waits for its last state to be stored; a draining worker has 90 s for all of it."""


class CheckpointHandover:
    """Gives one training state at a time to the supervisor and never makes training wait for storage.

    Training replaces its states as it likes; the supervisor deletes what it has stored. So that neither
    touches the other's files, what is handed over is a folder of its own, of hard links.
    """

    def __init__(self, job: Job, *, extra_files: Iterable[Path] = ()) -> None:
        """Hand over for this job.

        Args:
            job: whose states they are.
            extra_files: files that still grow, copied as they are into each checkpoint if they exist.
        """
        self._job = job
        self._extra_files = tuple(extra_files)
        self._last_step: int | None = None

    def offer(self, folder: Path, step: int, *, stall_ms: float) -> bool:
        """Hand over the complete state in `folder`, unless the one before is still being stored.

        Returns:
            Whether the state at `step` has been handed over, now or before.
        """
        if step == self._last_step:
            return True
        if self._last_step is not None and self._outcome(0) is None:
            return False
        handed_over = self._job.folder("checkpoints") / f"{step:012d}"
        shutil.copytree(folder, handed_over, copy_function=_link_or_copy)
        for path in self._extra_files:
            if path.exists():
                shutil.copy(path, handed_over / path.name)
        self._last_step = step
        self._job.checkpoint(handed_over, step, stall_ms=stall_ms)
        return True

    def deliver_last(self, folder: Path, step: int) -> bool:
        """Hand over the last state of a stopping run and wait until it is stored.

        Returns:
            Whether it was, within `FINAL_COMMIT_SECONDS`. An abort ends the wait.
        """
        deadline = time.monotonic() + FINAL_COMMIT_SECONDS
        if self._last_step not in {None, step}:
            self._outcome(FINAL_COMMIT_SECONDS)
        if not self.offer(folder, step, stall_ms=0.0):
            return False
        return self._outcome(max(0.0, deadline - time.monotonic())) is True

    def _outcome(self, timeout_seconds: float) -> bool | None:
        """What became of the state handed over last: stored, given up, or None while that is not known."""
        if self._last_step is None:
            return None
        return self._job.wait_for_checkpoint(self._last_step, timeout_seconds=timeout_seconds)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)

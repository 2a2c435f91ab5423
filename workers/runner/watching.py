"""Keep a job visible and stoppable while its only thread is inside long calls."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from workers.runner.isolation import end_now
from workers.runner.job import Job

_WATCH_SECONDS = 0.5


@contextmanager
def watched(job: Job) -> Iterator[None]:
    """Repeat the job's progress, and end the process when the supervisor wants the job stopped.

    For kinds that keep nothing when they are stopped: the workspace is scratch.
    """
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_WATCH_SECONDS):
            job.stay_visible()
            if job.stop_mode() is not None:
                end_now(job.stop(checkpointed=False), f"job {job.id} was stopped")

    watcher = threading.Thread(target=watch, name="job-watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()

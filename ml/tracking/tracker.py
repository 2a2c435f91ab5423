"""Where a run's figures go beside its own folder: anything that follows a run by its hooks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ml.hooks import Hooks, Progress, TrainingResult


class Tracker(Protocol):
    """Follows one run. Its failures are its own: a tracker must not end the training it watches."""

    def on_progress(self, progress: Progress) -> None:
        """Take the figures of a report."""
        ...

    def on_grid(self, path: Path, images_seen: int) -> None:
        """Take a sheet of samples."""
        ...

    def close(self, result: TrainingResult | None) -> None:
        """The run is over; without a result it failed."""
        ...


@dataclass
class Followed:
    """A run that trackers follow.

    Attributes:
        hooks: to train with.
        result: to be set when the run is over; without it the run counts as failed.
    """

    hooks: Hooks
    result: TrainingResult | None = None


@contextmanager
def following(hooks: Hooks, trackers: Sequence[Tracker]) -> Iterator[Followed]:
    """Let trackers hear what the hooks hear while the block runs, and close them after it."""

    def on_progress(progress: Progress) -> None:
        hooks.on_progress(progress)
        for tracker in trackers:
            tracker.on_progress(progress)

    def on_grid(path: Path, images_seen: int) -> None:
        # Trackers first: whoever owns the hook may move or delete the file.
        for tracker in trackers:
            tracker.on_grid(path, images_seen)
        hooks.on_grid(path, images_seen)

    followed = Followed(replace(hooks, on_progress=on_progress, on_grid=on_grid))
    try:
        yield followed
    finally:
        for tracker in trackers:
            tracker.close(followed.result)

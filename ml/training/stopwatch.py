"""How long a run has trained, over all its parts."""

import time


class Stopwatch:
    """Runs from its making on, and counts what went before."""

    def __init__(self, seconds_before: float = 0.0) -> None:
        self._before = seconds_before
        self._started_at = time.monotonic()

    def seconds(self) -> float:
        """Training time so far."""
        return self._before + time.monotonic() - self._started_at


class Alarm:
    """Due once its interval has passed since it was made or last set."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.set()

    def is_due(self) -> bool:
        """Whether the time has come."""
        return time.monotonic() >= self._at

    def set(self) -> None:
        """Begin the interval anew."""
        self._at = time.monotonic() + self._seconds

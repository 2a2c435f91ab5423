"""Database writes in the order they were decided, while the database may be away.

The supervisor must go on reading its runner when PostgreSQL does not answer, or the runner would block on a full
pipe. So writes are queued, tried in order, and kept until they succeed or are refused.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import InterfaceError, OperationalError, connection

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 1.0


@dataclass
class _Effect:
    apply: Callable[[], None]
    replaces: str


class Effects:
    """A queue of writes for one attempt."""

    def __init__(self) -> None:
        self._queue: deque[_Effect] = deque()
        self._next_try = 0.0

    def add(self, apply: Callable[[], None], *, replaces: str = "") -> None:
        """Queue a write; it replaces the last queued one if both carry the same non-empty `replaces`."""
        if replaces and self._queue and self._queue[-1].replaces == replaces:
            self._queue.pop()
        self._queue.append(_Effect(apply, replaces))

    def clear(self) -> None:
        self._queue.clear()

    @property
    def is_empty(self) -> bool:
        return not self._queue

    def flush(self) -> None:
        """Apply what is queued; stop quietly where the database is away.

        Raises:
            Exception: what an effect raised when it was refused; that effect is gone, the rest stays.
        """
        if time.monotonic() < self._next_try:
            return
        while self._queue:
            effect = self._queue[0]
            try:
                effect.apply()
            except (OperationalError, InterfaceError) as error:
                log.warning("database_unreachable", error=str(error).strip(), waiting=len(self._queue))
                connection.close()
                self._next_try = time.monotonic() + _PAUSE_SECONDS
                return
            except BaseException:
                self._queue.popleft()
                raise
            self._queue.popleft()

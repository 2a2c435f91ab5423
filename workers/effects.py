"""Database writes in the order they were decided, while the database may be away.

The supervisor must go on reading its runner when PostgreSQL does not answer, or the runner would block on a full
pipe. So writes are queued, tried in order, and kept until they succeed or are refused.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, connection

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Shared:
    """How a write can be made for several attempts at once, all or nothing.

    Attributes:
        write: one function for all of them, called with their parts.
        part: what this attempt gives to it.
        after: what follows here once it is written.
    """

    write: Callable[[Sequence[Any]], object]
    part: Any
    after: Callable[[], None]


@dataclass
class _Effect:
    apply: Callable[[], None]
    replaces: str
    shared: Shared | None


class Effects:
    """A queue of writes for one attempt."""

    def __init__(self) -> None:
        self._queue: deque[_Effect] = deque()
        self._next_try = 0.0

    def add(self, apply: Callable[[], None], *, replaces: str = "", shared: Shared | None = None) -> None:
        """Queue a write; it replaces the last queued one if both carry the same non-empty `replaces`.

        Args:
            shared: another way to the same, for `flush_together`.
        """
        if replaces and self._queue and self._queue[-1].replaces == replaces:
            self._queue.pop()
        self._queue.append(_Effect(apply, replaces, shared))

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
                self.pause()
                return
            except BaseException:
                self._queue.popleft()
                raise
            self._queue.popleft()

    def pause(self) -> None:
        """Try nothing for a moment: the database is away."""
        self._next_try = time.monotonic() + _PAUSE_SECONDS

    def next_shared(self) -> Shared | None:
        """Return what stands first, if it can be written together with others' and its time has come."""
        if not self._queue or time.monotonic() < self._next_try:
            return None
        return self._queue[0].shared

    def pop(self) -> None:
        """Forget what stands first: it is written."""
        self._queue.popleft()


def flush_together(queues: Sequence[Effects]) -> None:
    """Write in one go what stands first in several queues and can be shared, as far as that goes.

    What is refused together stays where it is: `flush` finds out whose it was.
    """
    progress = True
    while progress:
        progress = False
        by_write = defaultdict(list)
        for queue in queues:
            shared = queue.next_shared()
            if shared is not None:
                by_write[shared.write].append((queue, shared))
        for write, members in by_write.items():
            if len(members) > 1 and _is_written(write, members):
                progress = True


def _is_written(write: Callable[[Sequence[Any]], object], members: Sequence[tuple[Effects, Shared]]) -> bool:
    try:
        write([shared.part for _, shared in members])
    except (OperationalError, InterfaceError) as error:
        log.warning("database_unreachable", error=str(error).strip(), waiting=len(members))
        connection.close()
        for queue, _ in members:
            queue.pause()
        return False
    except Exception as error:  # noqa: BLE001 — each alone, they tell what is wrong
        log.info("not_written_together", jobs=len(members), error=str(error))
        return False
    for queue, shared in members:
        queue.pop()
        shared.after()
    return True

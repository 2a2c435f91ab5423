"""Waking the supervisor's thread, which waits for its runner, from another thread."""

import contextlib
import os


class Bell:
    """A descriptor that `select` finds readable once it was rung. Thread-safe."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._descriptor

    def ring(self) -> None:
        os.eventfd_write(self._descriptor, 1)

    def hush(self) -> None:
        """Forget the rings so far."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

"""A limit on the whole of a connection's life, which no HTTP library offers: theirs are limits on each step of it."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self


class Deadline:
    """Cuts every connection put under it once its time is over; a blocked reader or writer then fails at once.

    Used as a context manager: the time begins at its entry and is of no effect after its exit.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self.cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.is_over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for kept in self._sockets:
                kept.close()
            self._sockets.clear()

    def over(self, pool: Any) -> None:
        """Put every connection that this urllib3 pool will make under the deadline."""
        connect = pool.ConnectionCls._new_conn  # noqa: SLF001 — the one place before TLS where the socket is seen

        def watched_connect(connection: Any) -> socket.socket:
            made: socket.socket = connect(connection)
            self.watch(made)
            return made

        pool.ConnectionCls = type("WatchedConnection", (pool.ConnectionCls,), {"_new_conn": watched_connect})

    def watch(self, connection: socket.socket) -> None:
        """Put one connected socket under the deadline."""
        # A twin of our own: TLS takes the descriptor away from the socket it wraps, but both stay one connection.
        twin = connection.dup()
        with self._lock:
            self._sockets.append(twin)
            if self.is_over:
                _shut(twin)

    def cut(self) -> None:
        """End now whatever is under the deadline."""
        with self._lock:
            self.is_over = True
            for kept in self._sockets:
                _shut(kept)


def _shut(connection: socket.socket) -> None:
    # Already closed by the other side.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

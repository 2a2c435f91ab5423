"""A TCP proxy that a test turns against its own clients: drop, delay, reset, refuse, answer for the server, cut."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Mode = Literal["pass", "drop", "delay", "reset", "answer", "cut"]
_CHUNK_BYTES = 1 << 16
_ACTING_SECONDS = 0.1
"""How long the server gets to act on the last words of a connection that is cut."""


@dataclass(frozen=True)
class Fault:
    """What happens to the traffic.

    Attributes:
        mode: `pass` it; `drop` every byte (connections stay open, nobody answers); `delay` each chunk; `reset` all
            connections and refuse new ones; `answer` with `reply` and never ask the server; `cut`: once a client
            has sent `pattern`, forward it, wait for the server to act, and break the connection without its answer.
        seconds: of delay.
    """

    mode: Mode = "pass"
    seconds: float = 0.0
    reply: bytes = b""
    pattern: bytes = b""


PASS = Fault()


class Proxy:
    """Stands before one server, reached by a TCP port or by a unix socket's path. Runs in a thread of its own."""

    def __init__(self, upstream: tuple[str, int] | str) -> None:
        self._upstream = upstream
        self._fault = PASS
        self._cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def is_broken(self) -> bool:
        return self._fault.mode != "pass"

    @property
    def cuts(self) -> int:
        """How many connections were cut after their pattern was forwarded."""
        return self._cuts

    def set(self, fault: Fault) -> None:
        """Change what happens from now on, also to connections that are open."""
        self._fault = fault
        if fault.mode == "reset":
            self._loop.call_soon_threadsafe(self._abort_all)

    @contextmanager
    def broken(self, fault: Fault) -> Iterator[None]:
        """Keep a fault for the length of a block. Connections that were dropped are reset at its end."""
        self.set(fault)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._abort_all)
            self.set(PASS)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._abort_all)
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def _call(self, work: Coroutine[None, None, asyncio.Server]) -> asyncio.Server:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _abort_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._fault.mode == "reset":
                writer.transport.abort()
                return
            server_reader, server_writer = await self._connect()
            self._writers.add(server_writer)
            try:
                link = _Link(client=writer)
                up = asyncio.ensure_future(self._pump(reader, server_writer, link, to_server=True))
                down = asyncio.ensure_future(self._pump(server_reader, writer, link, to_server=False))
                _, pending = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                for task in pending:
                    task.cancel()
            finally:
                self._writers.discard(server_writer)
                server_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, str):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        link: "_Link",
        *,
        to_server: bool,
    ) -> None:
        while data := await source.read(_CHUNK_BYTES):
            fault = self._fault
            if fault.mode == "drop" or (link.is_mute and not to_server):
                continue
            if fault.mode == "delay":
                await asyncio.sleep(fault.seconds)
            if fault.mode == "answer" and to_server:
                link.client.write(fault.reply)
                await link.client.drain()
                return
            is_last = fault.mode == "cut" and to_server and fault.pattern in data
            link.is_mute = link.is_mute or is_last
            target.write(data)
            with contextlib.suppress(ConnectionError):
                await target.drain()
            if is_last:
                await asyncio.sleep(_ACTING_SECONDS)
                self._cuts += 1
                return


@dataclass
class _Link:
    """One connection: whom to answer, and whether the server's answers still get through."""

    client: asyncio.StreamWriter
    is_mute: bool = False

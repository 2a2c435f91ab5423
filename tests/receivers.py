"""Receivers of webhooks on loopback: real HTTP servers that note what they get and answer as a test likes."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.body)
        return payload

    def verified_with(self, secret: str) -> dict[str, Any]:
        """Return the payload if the reference library accepts signature and time; it raises otherwise."""
        payload: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return payload


@dataclass
class Receiver:
    """Answers every request by `answer`; the requests are in `received`."""

    url: str
    host: str
    answer: Answer
    received: list[Received] = field(default_factory=list)


def status(code: int, **headers: str) -> Answer:
    """Answer with this status and these headers (underscores become hyphens)."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def hang_until(released: threading.Event) -> Answer:
    """Say nothing before the event is set, or a minute is over; then close."""

    def answer(_request: BaseHTTPRequestHandler) -> None:
        released.wait(60)

    return answer


def close_without_answer(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True


@contextmanager
def receiver(answer: Answer | None = None, *, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Listen on a free loopback port; by default everything is answered 204."""
    made = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        made.socket = tls.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    with _listening(made) as server:
        host = f"127.0.0.1:{server.server_address[1]}"
        server.receiver = Receiver(url=f"http://{host}/hooks?a=b", host=host, answer=answer or status(204))
        yield server.receiver


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A handler that hangs on purpose must not hold the test up.
    block_on_close = False
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are what the tests are about."""


@contextmanager
def _listening(server: _Server) -> Iterator[_Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.receiver.received.append(Received(headers, body))
        self.server.receiver.answer(self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — the base class's name
        """Print nothing."""

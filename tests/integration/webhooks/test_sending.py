"""One attempt: whatever a receiver or a name server does, it ends in time and reaches no address inside."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from aigc_platform.webhooks import sending
from aigc_platform.webhooks.deadlines import Deadline
from aigc_platform.webhooks.models import FailureReason
from aigc_platform.webhooks.sending import Message, Outcome, send
from tests.receivers import Receiver, hang_until, receiver, status

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NAME = "rebinding.example"
PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"


def message(url: str) -> Message:
    return Message(url=url, event_id="evt_1", body='{"type":"x"}', secrets=[SECRET], at=datetime.now(UTC))


class Network:
    """Stands between the sender and the network: answers look-ups, notes connections and lets none through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[list[str]] = []
        """Addresses for the first look-up of `NAME`, the second, …; the last one repeats."""
        self.lookups: list[str] = []
        self.connected_to: list[str] = []
        self._resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)
        monkeypatch.setattr(socket.socket, "connect", self._connect)

    def _look_up(self, host: str, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        if host != NAME:
            # A literal address in any spelling: the real function, without a look-up.
            return list(self._resolve(host, port, *arguments, **options))
        self.lookups.append(host)
        answers = self.answers[min(len(self.lookups), len(self.answers)) - 1]
        return [found for answer in answers for found in self._resolve(answer, port, *arguments, **options)]

    def _connect(self, address: Any) -> None:
        self.connected_to.append(str(address[0]))
        raise ConnectionRefusedError


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0177.0.0.1", "0x7f000001", "127.1", "0", "10.0.0.1", "192.168.1.1", "172.16.0.9",
        "169.254.169.254", "100.64.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00::1]", "[fe80::1]", "[::ffff:169.254.169.254]",
    ],
)  # fmt: skip
def test_no_spelling_of_an_address_inside_is_connected_to(network: Network, host: str) -> None:
    assert send(message(f"https://{host}/in")) == Outcome(FailureReason.ADDRESS_REFUSED)
    assert network.connected_to == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], ["10.0.0.1", PUBLIC]]
)
def test_a_name_of_an_address_inside_is_not_connected_to(network: Network, addresses: list[str]) -> None:
    network.answers = [addresses]
    assert send(message(f"https://{NAME}/in")) == Outcome(FailureReason.ADDRESS_REFUSED)
    assert network.connected_to == []


@pytest.mark.parametrize("first", [[PUBLIC], [PUBLIC_6], [PUBLIC, "127.0.0.1"]])
def test_a_name_that_flips_after_the_check_gains_nothing(network: Network, first: list[str]) -> None:
    network.answers = [first, ["127.0.0.1"]]
    assert send(message(f"https://{NAME}/in")) == Outcome(FailureReason.UNREACHABLE)
    assert network.connected_to == [first[0]], "the address that was judged is the one connected to"
    assert len(network.lookups) == 1

    assert send(message(f"https://{NAME}/in")) == Outcome(FailureReason.ADDRESS_REFUSED)
    assert len(network.connected_to) == 1


def test_plain_http_goes_nowhere_unless_allowed(network: Network) -> None:
    network.answers = [[PUBLIC]]
    assert send(message(f"http://{NAME}/in")) == Outcome(FailureReason.ADDRESS_REFUSED)
    assert network.lookups == network.connected_to == []


def test_proxies_of_the_environment_are_ignored(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.answers = [[PUBLIC]]
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    send(message(f"https://{NAME}/in"))
    assert network.connected_to == [PUBLIC]


@pytest.fixture
def hooks(settings: LazySettings) -> Iterator[Receiver]:
    with receiver() as listening:
        settings.WEBHOOK_ALLOWED_HOSTS = frozenset({listening.host})
        yield listening


def test_a_redirect_is_not_followed_not_even_to_an_allowed_host(hooks: Receiver) -> None:
    hooks.answer = status(307, Location=hooks.url)
    assert send(message(hooks.url)) == Outcome(FailureReason.REDIRECT, 307)
    assert len(hooks.received) == 1


def test_a_receiver_that_hangs_is_left(hooks: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "READ_SECONDS", 0.3)
    released = threading.Event()
    hooks.answer = hang_until(released)
    started = time.monotonic()
    assert send(message(hooks.url)) == Outcome(FailureReason.TIMEOUT)
    assert time.monotonic() - started < 30
    released.set()


def test_a_receiver_that_drips_bytes_is_cut_off(hooks: Receiver) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Never-Ending: ")
        # Until nobody listens any more.
        for _ in range(600):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.1)

    hooks.answer = drip
    started = time.monotonic()
    assert send(message(hooks.url), Deadline(0.5)) == Outcome(FailureReason.TIMEOUT)
    assert time.monotonic() - started < 30


def test_a_long_answer_is_not_read(hooks: Receiver) -> None:
    sent: list[int] = []

    def pour(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(1000):
            request.wfile.write(bytes(1 << 20))
            sent.append(1 << 20)

    hooks.answer = pour
    assert send(message(hooks.url)) == Outcome(status_code=200)
    assert sum(sent) < 100 << 20


def test_a_receiver_that_speaks_no_tls(hooks: Receiver) -> None:
    assert send(message(hooks.url.replace("http:", "https:"))) == Outcome(FailureReason.TLS_FAILED)


def test_a_receiver_that_never_finishes_its_tls_handshake(settings: LazySettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        settings.WEBHOOK_ALLOWED_HOSTS = frozenset({host})
        assert send(message(f"https://{host}/"), Deadline(0.5)) == Outcome(FailureReason.TIMEOUT)


def test_nobody_listens(settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = frozenset({"127.0.0.1:1"})
    assert send(message("http://127.0.0.1:1/")) == Outcome(FailureReason.UNREACHABLE)


@pytest.mark.parametrize("garbage", [b"not HTTP at all\r\n\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b""])
def test_an_answer_that_is_no_http(hooks: Receiver, garbage: bytes) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(garbage)
        request.close_connection = True

    hooks.answer = answer
    assert send(message(hooks.url)) == Outcome(FailureReason.UNREACHABLE)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `NAME` and its key in one file, trusted by nobody else."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    key, made, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", made], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + made.read_bytes())
    return both


@pytest.mark.parametrize(
    ("name", "trusted", "outcome"),
    [
        (NAME, True, Outcome(status_code=204)),
        ("other.example", True, Outcome(FailureReason.TLS_FAILED)),
        (NAME, False, Outcome(FailureReason.TLS_FAILED)),
    ],
)
def test_over_tls_the_certificate_is_the_names_though_an_address_is_connected_to(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool, outcome: Outcome
) -> None:
    greeted: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.set_servername_callback(lambda _socket, asked, _context: greeted.append(asked))
    session = sending._session

    def trusting(*arguments: Any, **options: Any) -> Any:
        made = session(*arguments, **options)
        made.verify = str(certificate) if trusted else True
        return made

    # What is judged and found public is, for once, this machine.
    monkeypatch.setattr("requests_hardened.ip_filter_adapter.filter_host", lambda *_, **__: "127.0.0.1")
    monkeypatch.setattr(sending, "is_public", lambda _address: True)
    monkeypatch.setattr(sending, "_session", trusting)
    with receiver(tls=tls) as listening:
        port = listening.host.rpartition(":")[2]
        assert send(message(f"https://{name}:{port}/in")) == outcome
        assert greeted == [name]
        assert [item.headers["host"] for item in listening.received] == (
            [f"{name}:{port}"] if outcome.failure is None else []
        )

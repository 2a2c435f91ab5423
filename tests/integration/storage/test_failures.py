"""A store that is away, refuses us, or breaks off in the middle."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aigc_platform.common.exceptions import UnavailableError
from aigc_platform.storage.exceptions import StorageError, StorageUnavailableError
from aigc_platform.storage.interface import S3Config
from aigc_platform.storage.object_store import get_object_store
from aigc_platform.storage.s3 import S3ObjectStore
from tests.services import Services

MIB = 1024 * 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def breaking_proxy(target_url: str, *, answer_bytes: Callable[[int], int | None]) -> Iterator[str]:
    """Forward to the store, but cut connection number n after `answer_bytes(n)` bytes of answers."""
    target = urlsplit(target_url)
    server = socket.create_server(("127.0.0.1", 0))
    count = 0

    def pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        sent = 0
        with suppress(OSError):
            while data := source.recv(65536):
                data = data if limit is None else data[: limit - sent]
                sink.sendall(data)
                sent += len(data)
                if sent == limit:
                    break
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def forward(client: socket.socket, limit: int | None) -> None:
        with client, socket.create_connection((target.hostname or "", target.port or 80)) as upstream:
            requests = threading.Thread(target=pump, args=(client, upstream, None), daemon=True)
            requests.start()
            pump(upstream, client, limit)
            requests.join()

    def serve() -> None:
        nonlocal count
        with server, suppress(OSError):
            while True:
                client, _ = server.accept()
                count += 1
                clients.append(client)
                thread = threading.Thread(target=forward, args=(client, answer_bytes(count)), daemon=True)
                thread.start()
                forwarders.append(thread)

    clients: list[socket.socket] = []
    forwarders: list[threading.Thread] = []
    acceptor = threading.Thread(target=serve, daemon=True)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        for end in (server, *clients):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in (acceptor, *forwarders):
            thread.join(5)


def test_a_download_goes_on_where_the_connection_broke(
    config: S3Config, store: S3ObjectStore, folder: str, tmp_path: Path
) -> None:
    data = bytes(range(251)) * 20_000
    digest = store.put_bytes(f"{folder}a", data, media_type="x/y")
    with breaking_proxy(config.endpoint_url, answer_bytes=lambda n: 2 * MIB if n < 3 else None) as url:
        broken = S3ObjectStore(replace(config, endpoint_url=url))
        assert broken.get_file(f"{folder}a", tmp_path / "copy", sha256=digest) == digest
    assert (tmp_path / "copy").read_bytes() == data


def test_a_write_whose_answer_was_lost_is_not_a_conflict(
    config: S3Config, store: S3ObjectStore, folder: str
) -> None:
    with breaking_proxy(config.endpoint_url, answer_bytes=lambda n: 1 if n == 1 else None) as url:
        digest = S3ObjectStore(replace(config, endpoint_url=url)).put_bytes(
            f"{folder}a", b"once", media_type="text/plain"
        )
    assert digest == hashlib.sha256(b"once").hexdigest()
    assert store.head(f"{folder}a").sha256 == digest


def test_a_store_that_is_away_is_unavailable(config: S3Config, tmp_path: Path) -> None:
    away = S3ObjectStore(replace(config, endpoint_url=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(StorageUnavailableError, match="not reachable") as caught:
        away.ping()
    assert isinstance(caught.value, UnavailableError)
    assert caught.value.code == "storage.unavailable"


@pytest.mark.parametrize("change", [{"secret_access_key": "wrong"}, {"access_key_id": "nobody"}])
def test_wrong_credentials_are_refused_by_name(config: S3Config, change: dict[str, str]) -> None:
    with pytest.raises(StorageError, match="403"):
        S3ObjectStore(replace(config, **change)).ping()


def test_a_missing_bucket_is_found_by_ping_and_made_by_ensure(config: S3Config) -> None:
    store = S3ObjectStore(replace(config, bucket=f"{config.bucket}-new"))
    with pytest.raises(StorageError):
        store.ping()
    store.ensure_bucket()
    store.ping()
    store._client.delete_bucket(Bucket=store._bucket)


def test_the_configured_store_is_made_once_and_follows_the_settings(services: Services, settings) -> None:  # type: ignore[no-untyped-def]
    first = get_object_store()
    assert get_object_store() is first
    first.ping()
    settings.S3_ENDPOINT_URL = f"http://127.0.0.1:{free_port()}"
    assert get_object_store() is not first

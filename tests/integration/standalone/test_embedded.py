"""The three embedded servers: closed to strangers, and their data outlive them."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

from aigc_platform.standalone import unprivileged
from aigc_platform.standalone.embedded.postgres import Postgres
from aigc_platform.standalone.embedded.seaweedfs import PORT_COUNT, SeaweedFS
from aigc_platform.standalone.embedded.valkey import Valkey
from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.ports import free_ports, remembered_ports
from aigc_platform.standalone.private_files import exclusive, read_private_json, stack_secrets
from aigc_platform.standalone.processes import ProcessSpec, start, stop

as_root_on_linux = pytest.mark.skipif(
    sys.platform != "linux" or not unprivileged.is_root(), reason="only root has powers to give up"
)


@contextmanager
def running(spec: ProcessSpec) -> Iterator[subprocess.Popen[bytes]]:
    process = start(spec)
    try:
        yield process
    finally:
        stop(process, spec)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder that everybody may enter, with a path short enough for a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="aigc-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def postgres(short_folder: Path) -> Postgres:
    sockets = short_folder / "run"
    sockets.mkdir(mode=0o700)
    return Postgres(short_folder / "postgres", sockets, short_folder / "postgres.log")


@pytest.fixture
def seaweedfs(short_folder: Path) -> SeaweedFS:
    return SeaweedFS(
        folder=short_folder / "seaweedfs",
        socket_folder=short_folder,
        ports=free_ports(PORT_COUNT),
        access_key_id="key",
        secret_access_key="secret",
        bucket="bucket",
        log_path=short_folder / "seaweedfs.log",
    )


def execute(postgres: Postgres, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(postgres.database_url("postgres"), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_postgres_keeps_committed_rows_when_it_is_killed(postgres: Postgres) -> None:
    postgres.prepare()
    with running(postgres.spec()) as process:
        assert execute(postgres, "SHOW listen_addresses") == [("",)]
        assert execute(postgres, "SHOW fsync") == [("on",)]
        execute(postgres, "CREATE TABLE kept (value int)")
        execute(postgres, "INSERT INTO kept VALUES (42)")
        process.kill()
        process.wait()
    postgres.prepare()
    with running(postgres.spec()):
        assert execute(postgres, "SELECT value FROM kept") == [(42,)]


def test_data_of_another_postgres_are_left_alone(postgres: Postgres) -> None:
    postgres.folder.mkdir()
    (postgres.folder / "PG_VERSION").write_text("16\n")
    with pytest.raises(StandaloneError, match="belong to PostgreSQL 16, this is 18"):
        postgres.prepare()


@as_root_on_linux
@pytest.mark.parametrize("with_namespaces", [True, False])
def test_postgres_does_not_run_as_root(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, with_namespaces: bool
) -> None:
    if with_namespaces and not unprivileged._namespaces_work():
        pytest.skip("no user namespaces here")
    monkeypatch.setattr(unprivileged, "_namespaces_work", lambda: with_namespaces)
    postgres.prepare()
    with running(postgres.spec()) as process:
        assert execute(postgres, "SELECT 1") == [(1,)]
        seen_from_outside = 0 if with_namespaces else 65_534
        assert psutil.Process(process.pid).uids().effective == seen_from_outside
        assert postgres.folder.stat().st_uid == seen_from_outside


@as_root_on_linux
def test_a_folder_nobody_else_may_enter_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "_namespaces_work", lambda: False)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StandaloneError, match="no other user may enter"):
        Postgres(closed / "postgres", closed / "run", tmp_path / "log").prepare()


def test_valkey_asks_for_its_password(short_folder: Path) -> None:
    [port] = free_ports(1)
    valkey = Valkey(short_folder, port, "correct", short_folder / "valkey.log")
    valkey.prepare()
    with running(valkey.spec()):
        with redis.Redis.from_url(valkey.url) as client:
            assert client.set("a", "1")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        for url in (f"redis://127.0.0.1:{port}", f"redis://:wrong@127.0.0.1:{port}"):
            with redis.Redis.from_url(url) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.get("a")


def test_seaweedfs_refuses_strangers(seaweedfs: SeaweedFS) -> None:
    seaweedfs.prepare()
    with running(seaweedfs.spec()):
        assert httpx.get(f"{seaweedfs.url}/bucket").status_code == 403
        assert httpx.put(f"{seaweedfs.url}/bucket/file", content=b"x").status_code == 403
        assert httpx.get(seaweedfs.url).status_code == 403


def test_a_server_that_cannot_start_shows_its_last_words(short_folder: Path) -> None:
    [port] = free_ports(1)
    valkey = Valkey(short_folder, port, "secret", short_folder / "valkey.log")
    valkey.prepare()
    (short_folder / "valkey.conf").write_text("no-such-option yes\n")
    with pytest.raises(StandaloneError, match=r"(?s)valkey ended with code 1.*no-such-option"):
        start(valkey.spec())


def test_ports_are_the_same_next_time_unless_one_is_taken(tmp_path: Path, short_folder: Path) -> None:
    path = tmp_path / "ports.json"
    first = remembered_ports(path, {"a": 1, "b": 3})
    assert remembered_ports(path, {"a": 1, "b": 3}) == first
    valkey = Valkey(short_folder, first["b"][1], "secret", short_folder / "valkey.log")
    valkey.prepare()
    with running(valkey.spec()):
        second = remembered_ports(path, {"a": 1, "b": 3})
    assert second["a"] == first["a"]
    assert second["b"] != first["b"]
    path.write_text("{not json")
    assert len(remembered_ports(path, {"b": 3})["b"]) == 3


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    secrets = stack_secrets(path)
    assert stack_secrets(path) == secrets
    assert len(set(secrets.values())) == len(secrets)
    assert all(len(value) >= 16 for value in secrets.values())
    assert path.stat().st_mode & 0o777 == 0o600
    assert stack_secrets(tmp_path / "other.json") != secrets


def test_a_damaged_file_is_a_sentence_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text('{"secret_key": ')
    with pytest.raises(StandaloneError, match="is damaged"):
        read_private_json(path)
    assert path.read_text() == '{"secret_key": '


def test_the_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from aigc_platform.standalone.private_files import exclusive\n"
        "with exclusive(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StandaloneError, match=f"already runs in .* \\(process {holder.pid}\\)"):
            exclusive(tmp_path).__enter__()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with exclusive(tmp_path):
        assert (tmp_path / "lock").exists()

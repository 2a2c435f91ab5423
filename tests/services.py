"""The three real servers that tests use: started once a session, or taken from the environment.

`TEST_DATABASE_URL`, `TEST_BROKER_URL` and `TEST_S3_ENDPOINT_URL` (with `TEST_S3_ACCESS_KEY_ID` and
`TEST_S3_SECRET_ACCESS_KEY`) replace the embedded ones. Every session works in a database and a bucket of its own.
"""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import boto3
from botocore.config import Config

from aigc_platform.standalone.embedded.postgres import Postgres
from aigc_platform.standalone.embedded.seaweedfs import PORT_COUNT, SeaweedFS
from aigc_platform.standalone.embedded.valkey import Valkey
from aigc_platform.standalone.ports import free_ports
from aigc_platform.standalone.processes import ProcessSpec, start, stop


@dataclass(frozen=True)
class Services:
    """Addresses and credentials of the running servers."""

    database_url: str
    broker_url: str
    s3_endpoint_url: str
    s3_access_key_id: str
    s3_secret_access_key: str
    s3_bucket: str

    def variables(self) -> dict[str, str]:
        """Return them as the platform's environment variables, for child processes."""
        return {name.upper(): value for name, value in vars(self).items()}


@contextmanager
def running_services() -> Iterator[Services]:
    """Start what the environment does not name; stop it at the end and delete its data."""
    folder = Path(tempfile.mkdtemp(prefix="aigc-tests-"))
    name = f"test_{secrets.token_hex(6)}"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # The slowest first: the others start while it does nothing but wait for the disk.
        s3_endpoint_url, access_key_id, secret_access_key = _object_store(stack, folder, bucket=_bucket(name))
        yield Services(
            database_url=_database(stack, folder, name=name),
            broker_url=_broker(stack, folder),
            s3_endpoint_url=s3_endpoint_url,
            s3_access_key_id=access_key_id,
            s3_secret_access_key=secret_access_key,
            s3_bucket=_bucket(name),
        )


def _bucket(name: str) -> str:
    return name.replace("_", "-")


def _run(stack: ExitStack, spec: ProcessSpec) -> subprocess.Popen[bytes]:
    process = start(spec)
    stack.callback(stop, process, spec)
    return process


def _database(stack: ExitStack, folder: Path, *, name: str) -> str:
    """Return the address of a database that does not exist yet: pytest-django creates and deletes it."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    sockets = folder / "run"
    sockets.mkdir(mode=0o700)
    postgres = Postgres(
        folder=folder / "postgres", socket_folder=sockets, log_path=folder / "postgres.log", durable=False
    )
    postgres.prepare()
    _run(stack, postgres.spec())
    return postgres.database_url(name)


def _broker(stack: ExitStack, folder: Path) -> str:
    if url := os.environ.get("TEST_BROKER_URL"):
        return url
    [port] = free_ports(1)
    valkey = Valkey(
        folder=folder / "valkey",
        port=port,
        password=secrets.token_urlsafe(16),
        log_path=folder / "valkey.log",
    )
    valkey.prepare()
    _run(stack, valkey.spec())
    return valkey.url


def _object_store(stack: ExitStack, folder: Path, *, bucket: str) -> tuple[str, str, str]:
    if url := os.environ.get("TEST_S3_ENDPOINT_URL"):
        keys = os.environ["TEST_S3_ACCESS_KEY_ID"], os.environ["TEST_S3_SECRET_ACCESS_KEY"]
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            region_name="us-east-1",
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        client.create_bucket(Bucket=bucket)
        return url, *keys
    seaweedfs = SeaweedFS(
        folder=folder / "seaweedfs",
        socket_folder=folder,
        ports=free_ports(PORT_COUNT),
        access_key_id=secrets.token_hex(10),
        secret_access_key=secrets.token_urlsafe(30),
        bucket=bucket,
        log_path=folder / "seaweedfs.log",
    )
    seaweedfs.prepare()
    _run(stack, seaweedfs.spec())
    return seaweedfs.url, seaweedfs.access_key_id, seaweedfs.secret_access_key

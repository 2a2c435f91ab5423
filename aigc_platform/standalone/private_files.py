"""Files that only their owner may read: secrets, credentials, the lock."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aigc_platform.standalone.errors import StandaloneError


def write_private(path: Path, text: str) -> None:
    """Replace the file at once, with mode 0600 from its first moment on."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_private_json(path: Path, content: Mapping[str, str]) -> None:
    """Replace the file with readable JSON, mode 0600."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def read_private_json(path: Path) -> dict[str, str]:
    """Return the file's content, or nothing if it does not exist.

    Raises:
        StandaloneError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StandaloneError(f"{path} is damaged ({error}): restore it from a backup") from None
    return {str(key): str(value) for key, value in content.items()}


def stack_secrets(path: Path) -> dict[str, str]:
    """Return the secrets of the stack in this folder, made at its first start and kept."""
    known = read_private_json(path)
    fresh = {
        "secret_key": secrets.token_urlsafe(50),
        "broker_password": secrets.token_urlsafe(24),
        "s3_access_key_id": secrets.token_hex(10),
        "s3_secret_access_key": secrets.token_urlsafe(30),
        "admin_password": secrets.token_urlsafe(12),
    }
    merged = {**fresh, **known}
    if merged != known:
        write_private_json(path, merged)
    return merged


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one stack per folder.

    Raises:
        StandaloneError: another stack runs in this folder.
    """
    path = folder / "lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as file:
        try:
            # The kernel releases it however we end; children do not inherit the descriptor.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip() or "unknown"
            raise StandaloneError(
                f"A stack already runs in {folder} (process {holder}): stop it, or set DATA_DIR to another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield

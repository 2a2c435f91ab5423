"""What the platform asks of an object store, whoever serves it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """One stored object.

    Attributes:
        size: bytes.
        sha256: hex digest the writer declared; None for listings and for objects posted by a client.
        media_type: None for listings, which do not carry it.
    """

    key: str
    size: int
    modified_at: datetime
    sha256: str | None = None
    media_type: str | None = None


@dataclass(frozen=True)
class PresignedPost:
    """A form a client may post once or more until it expires: every field of `fields`, then `file`."""

    url: str
    fields: dict[str, str]


class ObjectStore(Protocol):
    """Immutable objects under keys of `aigc_platform.storage.keys`. Safe to share between threads.

    Every method raises `StorageUnavailableError` while the store cannot be reached and `StorageError` when it
    refuses.
    """

    def put_file(
        self, key: str, path: Path, *, sha256: str, media_type: str, filename: str | None = None
    ) -> None:
        """Store a file under a new key; storing the same content again is no error.

        Raises:
            ObjectConflictError: other content lies under the key.
            ObjectCorruptError: the file does not have this SHA-256; nothing was stored.
        """

    def put_bytes(self, key: str, data: bytes, *, media_type: str, filename: str | None = None) -> str:
        """Store bytes under a new key and return their SHA-256. Raises as `put_file`."""

    def get_file(self, key: str, path: Path, *, sha256: str | None) -> str:
        """Fetch an object into `path`, which appears complete or not at all; return its SHA-256.

        Raises:
            ObjectNotFoundError: no such key.
            ObjectCorruptError: `sha256` is given and the bytes hash to something else.
        """

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`, fewer at the end of the object."""

    def head(self, key: str) -> ObjectInfo:
        """Return size, declared SHA-256 and media type, or raise `ObjectNotFoundError`."""

    def presign_get(self, key: str, *, filename: str, media_type: str, expires_seconds: int = 900) -> str:
        """Return a URL that downloads this one key as an attachment; Range works."""

    def presign_post(
        self, key: str, *, media_type: str | None, max_bytes: int, expires_seconds: int
    ) -> PresignedPost:
        """Return a form that stores 1 to `max_bytes` bytes under exactly this key and media type."""

    def list_keys(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects below a prefix, in key order, however many."""

    def delete(self, key: str) -> None:
        """Delete one object; a missing key is no error."""

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything below one id's folder and return how many objects went.

        Raises:
            ValueError: the prefix is not inside one id's folder.
        """

    def abort_stale_uploads(self, older_than: timedelta) -> int:
        """Give up uploads in parts that were begun this long ago and never ended; return how many."""

    def ping(self) -> None:
        """Return when the bucket answers."""

    def ensure_bucket(self) -> None:
        """Create the bucket if it is missing."""


@dataclass(frozen=True)
class S3Config:
    """Where the bucket is and how to sign for it.

    Attributes:
        public_endpoint_url: the address clients reach the same store by; presigned URLs carry it.
    """

    endpoint_url: str
    public_endpoint_url: str
    access_key_id: str
    secret_access_key: str
    bucket: str
    region: str

"""The files in an uploaded archive, one after another, with every byte counted.

Nothing is unpacked to disk and no size that the archive states about itself is believed: bombs are found
by counting what actually comes out. Names are for messages and class folders only, never for paths.
"""

import gzip
import io
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Literal

from ml.errors import InvalidDatasetError

MIB = 2**20
RATIO_COUNTS_FROM_BYTES = 16 * MIB
"""Small archives may compress as well as they like."""
TAR_HEADER_BYTES = MIB
"""More than any honest header, long names and extended attributes included."""

Kind = Literal["file", "folder", "link"]

_DRIVE = re.compile(r"^[A-Za-z]:")
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, OSError)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much an archive may hold. Defaults suit one machine; a service may set its own.

    Attributes:
        max_entries: files, folders and all other members.
        max_entry_bytes: size of one file, unpacked.
        max_total_bytes: size of all files, unpacked.
        max_ratio: unpacked over packed size, once more than 16 MiB came out.
        max_image_pixels: width times height of one image.
        max_classes: class folders.
    """

    max_entries: int = 200_000
    max_entry_bytes: int = 64 * MIB
    max_total_bytes: int = 8 * 1024 * MIB
    max_ratio: float = 200.0
    max_image_pixels: int = 64_000_000
    max_classes: int = 1000


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive, to be read before the next one is asked for. `link`: any special file."""

    name: str
    kind: Kind
    _read: Callable[[], bytes]

    def read(self) -> bytes:
        """The content of a file.

        Raises:
            InvalidDatasetError: the archive is damaged here, or larger inside than the limits allow.
        """
        try:
            return self._read()
        except _DAMAGE as error:
            raise _damaged(self.name, error) from error


def iterate_members(path: Path, limits: ArchiveLimits) -> Iterator[Member]:
    """Yield the members of a zip, tar or tar.gz file in the order they are stored.

    Raises:
        InvalidDatasetError: not such an archive, damaged, or larger inside than the limits allow.
    """
    kind = _kind_of(path)
    counter = _Counter(path.stat().st_size, limits)
    members = _zip_members(path, counter) if kind == "zip" else _tar_members(path, counter, kind)
    try:
        for member in members:
            counter.entry()
            yield member
    except _DAMAGE as error:
        raise _damaged(path.name, error) from error


def _damaged(place: str, error: Exception) -> InvalidDatasetError:
    """The error for an archive that cannot be read to its end."""
    return InvalidDatasetError(
        "dataset.archive_damaged",
        f"The archive is damaged or cut short at {place}: {error}. Upload it again.",
    )


def is_unsafe(name: str) -> bool:
    """Whether a member's name is absolute or points outside the archive."""
    slashed = name.replace("\\", "/")
    return (
        slashed.startswith("/") or bool(_DRIVE.match(slashed)) or ".." in slashed.split("/") or "\0" in name
    )


class _Counter:
    """Counts entries and unpacked bytes against the limits."""

    def __init__(self, packed_bytes: int, limits: ArchiveLimits) -> None:
        self.limits = limits
        self._packed_bytes = max(1, packed_bytes)
        self._entries = 0
        self._bytes = 0
        self._entry_bytes = 0

    def entry(self) -> None:
        self._entries += 1
        self._entry_bytes = 0
        if self._entries > self.limits.max_entries:
            raise _bomb(f"more than {self.limits.max_entries:,} entries")

    def unpacked(self, count: int, *, allowance: int = 0) -> None:
        self._bytes += count
        self._entry_bytes += count
        if self._entry_bytes > self.limits.max_entry_bytes + allowance:
            raise _bomb(f"a file of more than {self.limits.max_entry_bytes // MIB:,} MiB")
        if self._bytes > self.limits.max_total_bytes:
            raise _bomb(f"more than {self.limits.max_total_bytes // MIB:,} MiB in all")
        is_counted = self._bytes > RATIO_COUNTS_FROM_BYTES
        if is_counted and self._bytes > self.limits.max_ratio * self._packed_bytes:
            raise _bomb(f"data that unpacks to more than {self.limits.max_ratio:g} times its size")


def _bomb(what: str) -> InvalidDatasetError:
    return InvalidDatasetError("dataset.archive_bomb", f"The archive holds {what}, which is not allowed.")


def _kind_of(path: Path) -> Literal["zip", "tar", "tar.gz"]:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if head[257:262] == b"ustar":
        return "tar"
    raise InvalidDatasetError(
        "dataset.not_an_archive", f"{path.name} is not a zip, tar or tar.gz archive of images."
    )


def _zip_members(path: Path, counter: _Counter) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise _damaged(path.name, error) from error
    with archive:
        for info in archive.infolist():
            kind: Kind = "folder" if info.is_dir() else "file"
            if stat.S_ISLNK(info.external_attr >> 16):
                kind = "link"
            if info.flag_bits & 1:
                raise InvalidDatasetError(
                    "dataset.archive_encrypted", f"{path.name} is encrypted. Upload it without a password."
                )
            yield Member(info.filename, kind, partial(_read_zip_entry, archive, info, counter))


def _read_zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, counter: _Counter) -> bytes:
    content = io.BytesIO()
    with archive.open(info) as file:
        while piece := file.read(MIB):
            counter.unpacked(len(piece))
            content.write(piece)
    return content.getvalue()


def _tar_members(path: Path, counter: _Counter, kind: Literal["tar", "tar.gz"]) -> Iterator[Member]:
    with path.open("rb") as raw:
        unpacked = gzip.GzipFile(fileobj=raw) if kind == "tar.gz" else raw
        stream = _CountingReader(unpacked, counter)
        try:
            archive = tarfile.open(fileobj=stream, mode="r|")  # noqa: SIM115 - closed below; the error differs
        except tarfile.ReadError as error:
            raise InvalidDatasetError(
                "dataset.not_an_archive", f"{path.name} is not a zip, tar or tar.gz archive of images."
            ) from error
        with archive:
            for info in archive:
                # A sparse file's holes come from nowhere, uncounted: refused with links and devices.
                is_plain = info.isreg() and not info.issparse()
                kind_of_entry: Kind = "folder" if info.isdir() else "file" if is_plain else "link"
                yield Member(info.name, kind_of_entry, partial(_read_tar_entry, archive, info))


def _read_tar_entry(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    return b"" if file is None else file.read()


class _CountingReader(io.RawIOBase):
    """The unpacked bytes of a tar file, headers included, as they are read."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile, counter: _Counter) -> None:
        super().__init__()
        self._source = source
        self._counter = counter

    def read(self, size: int = -1) -> bytes:
        # tarfile asks for at most one block buffer at a time.
        piece = self._source.read(size)
        self._counter.unpacked(len(piece), allowance=TAR_HEADER_BYTES)
        return piece

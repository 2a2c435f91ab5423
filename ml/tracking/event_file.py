"""Files that TensorBoard reads, written without TensorBoard.

The format is two small things one inside the other: records with a length and checksums (TFRecord), and in each
a protocol-buffer message (`tensorboard/compat/proto/event.proto` and `summary.proto`), of which we need five
fields. That saves every worker an RPC stack it has no other use for.
"""

import math
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

SUFFIX = ".tfevents"
"""TensorBoard takes every file with this in its name."""

_FILE_VERSION = "brain.Event:2"
_CASTAGNOLI = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_COLOUR_SPACES = {"L": 1, "RGB": 3}


class EventFile:
    """Appends scalars and pictures to one event file; each record is complete once written."""

    def __init__(self, path: Path) -> None:
        """Begin the file, over an earlier one if there is one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._write(time.time(), 0, _field(3, _BYTES, _FILE_VERSION.encode()))

    def add_scalars(self, figures: Mapping[str, float], *, step: int, at: float | None = None) -> None:
        """Write figures of one step; those that are not finite are left out.

        Args:
            figures: by name.
            step: images seen.
            at: when it was, in seconds since 1970; now, without it.
        """
        values = [
            _field(1, _BYTES, _text_field(1, name) + _field(2, _FIXED32, struct.pack("<f", value)))
            for name, value in figures.items()
            if math.isfinite(value)
        ]
        if values:
            self._write(time.time() if at is None else at, step, _field(5, _BYTES, b"".join(values)))

    def add_png(self, name: str, png: bytes, *, width: int, height: int, mode: str, step: int) -> None:
        """Write a picture that is already a PNG; `mode` is L or RGB."""
        image = b"".join(
            (
                _field(1, _VARINT, _varint(height)),
                _field(2, _VARINT, _varint(width)),
                _field(3, _VARINT, _varint(_COLOUR_SPACES[mode])),
                _field(4, _BYTES, png),
            )
        )
        value = _field(1, _BYTES, _text_field(1, name) + _field(4, _BYTES, image))
        self._write(time.time(), step, _field(5, _BYTES, value))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, wall_time: float, step: int, content: bytes) -> None:
        when = _field(1, _FIXED64, struct.pack("<d", wall_time))
        event = when + _field(2, _VARINT, _varint(step)) + content
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))
        self._file.flush()


def _field(number: int, kind: int, content: bytes) -> bytes:
    """One field of a message: its key, and for bytes their length."""
    key = _varint(number << 3 | kind)
    return key + _varint(len(content)) + content if kind == _BYTES else key + content


def _text_field(number: int, text: str) -> bytes:
    return _field(number, _BYTES, text.encode())


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _crc_table() -> tuple[int, ...]:
    table = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (_CASTAGNOLI if entry & 1 else 0)
        table.append(entry)
    return tuple(table)


_CRC_TABLE = _crc_table()


def _checksum(content: bytes) -> bytes:
    """CRC-32C, turned and shifted as TFRecord wants it, so that a checksum of checksums is none."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
    return struct.pack("<I", masked)

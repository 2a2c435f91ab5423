"""The errors that `ml` raises on purpose: a stable code and one sentence for people."""

from collections.abc import Sequence
from typing import TypedDict


class MlError(Exception):
    """Something the caller can act on.

    Attributes:
        code: stable and machine-readable, `area.reason`.
        message: what was wrong, where, and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class FileError(TypedDict):
    """One file of an upload that was refused, and why."""

    file: str
    code: str
    message: str


class InvalidDatasetError(MlError):
    """The data cannot be used for training. `errors` names the files at fault (at most 100)."""

    def __init__(self, code: str, message: str, errors: Sequence[FileError] = ()) -> None:
        super().__init__(code, message)
        self.errors: list[FileError] = list(errors)


class InvalidCheckpointError(MlError):
    """A snapshot or training state on disk is not what it says it is, or not what this run needs."""


class NonFiniteLossError(MlError):
    """Training met a NaN or infinite loss; the weights from that step on are worthless."""


class InvalidSampleError(MlError):
    """A sample was asked for that the snapshot cannot make (unknown class, seed out of range, …)."""

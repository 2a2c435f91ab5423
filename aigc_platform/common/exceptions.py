"""Errors the platform raises on purpose. Each has a stable `code`; `api` maps classes to HTTP statuses."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldProblem:
    """One thing wrong with the input: where, which rule, and what to do.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the request body, or a file name inside an archive.
        code: stable, machine-readable rule name.
        message: one sentence for a person.
    """

    pointer: str
    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class PlatformError(Exception):
    """Something a person has to know about. The docstring's first line is the default message."""

    code: ClassVar[str] = "platform.error"

    def __init__(self, message: str | None = None, *, errors: Sequence[FieldProblem] = ()) -> None:
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        self.errors = tuple(errors)
        super().__init__(self.message)


class InvalidInputError(PlatformError):
    """The request is not valid."""

    code = "request.invalid"


class NotFoundError(PlatformError):
    """There is no such thing, or it is not yours."""

    code = "request.not_found"


class ConflictError(PlatformError):
    """The request does not fit the present state."""

    code = "request.conflict"


class UnavailableError(PlatformError):
    """A part of the platform is not reachable right now; try again shortly."""

    code = "platform.unavailable"

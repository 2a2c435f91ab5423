"""The `Idempotency-Key` header: the same request sent again gets the same answer, not a second job."""

import hashlib
import json
from typing import Any

from rest_framework.request import Request

from aigc_platform.common.exceptions import FieldProblem, InvalidInputError

HEADER = "Idempotency-Key"
_MAX_LENGTH = 255


class InvalidIdempotencyKeyError(InvalidInputError):
    """The Idempotency-Key header must be 1 to 255 printable ASCII characters, bare or in double quotes."""

    code = "request.idempotency_key"


def idempotency_key(request: Request) -> str | None:
    """Return the key the client sent, without quotes, or None if it sent none.

    Raises:
        InvalidIdempotencyKeyError: empty, too long, or not printable ASCII.
    """
    value = request.headers.get(HEADER)
    if value is None:
        return None
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        # A structured-field string (RFC 8941) escapes quotes and backslashes.
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 1 <= len(value) <= _MAX_LENGTH or not value.isascii() or not value.isprintable():
        problem = FieldProblem(HEADER, InvalidIdempotencyKeyError.code, "Not a usable key.")
        raise InvalidIdempotencyKeyError(errors=[problem])
    return value


def request_fingerprint(request: Request, body: Any) -> str:
    """Return the SHA-256 of method, path and body; two spellings of the same JSON are the same request."""
    canonical = json.dumps([request.method, request.path, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()

"""UUID version 7 (RFC 9562, section 5.7): ids that sort by creation time, so B-tree inserts stay at one end."""

import secrets
import time
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62


def uuid7() -> UUID:
    """Return a new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random_a = secrets.randbits(12)
    random_b = secrets.randbits(62)
    return UUID(
        int=(milliseconds & (2**48 - 1)) << 80 | _VERSION_7 | random_a << 64 | _VARIANT_RFC | random_b
    )

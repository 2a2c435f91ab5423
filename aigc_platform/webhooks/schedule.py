"""When a message is tried again: the schedule that Standard Webhooks recommends, about three days in all."""

import random
from datetime import timedelta

_MINUTE, _HOUR = 60, 3600
DELAYS_SECONDS = (
    5, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip
"""Pauses after the first attempt, the second, …; after the last one's the tenth and last attempt is made."""

_JITTER = 0.1
_MOST_REST_SECONDS = 300
_LONGEST_RETRY_AFTER_SECONDS = 24 * _HOUR


def retry_delay(attempts: int, *, retry_after_seconds: float = 0.0) -> timedelta | None:
    """Return the pause before the next attempt, or None when there is none.

    A pause is up to a tenth longer than the schedule says: what failed together need not come back together.

    Args:
        attempts: how many have failed, at least one.
        retry_after_seconds: what the receiver asked for; a longer pause than the schedule's is kept, up to a day.
    """
    if attempts > len(DELAYS_SECONDS):
        return None
    planned = DELAYS_SECONDS[attempts - 1] * random.uniform(1.0, 1.0 + _JITTER)  # noqa: S311 — spreads load
    return timedelta(seconds=max(planned, min(retry_after_seconds, _LONGEST_RETRY_AFTER_SECONDS)))


def rest(failures: int) -> timedelta:
    """Return how long an endpoint is left alone, all its messages together, after so many failures in a row.

    A receiver that hangs costs one sender its timeout each time; this keeps a long backlog from taking them all.
    """
    return timedelta(seconds=min(2 ** min(failures - 1, 10), _MOST_REST_SECONDS))

"""Messages written in the transaction that causes them; the engine's relay sends them."""

from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now

from aigc_platform.jobs.models import Outbox

RING = "ring"
"""Payload {"queue": name}: tell one worker that the queue may have work."""

OUTBOX_CHANNEL = "aigc_outbox"
"""PostgreSQL NOTIFY channel that wakes the relay; losing a notification only costs its poll interval."""


def write_ring(queue: str, *, only_if_silent: bool = False, delay_seconds: float = 0.0) -> None:
    """Ask the relay to ring a queue once.

    Args:
        only_if_silent: skip it at the broker if rings for this queue are already waiting there.
        delay_seconds: ring no sooner than this.
    """
    Outbox.objects.create(
        topic=RING,
        payload={"queue": queue, "only_if_silent": only_if_silent},
        available_at=Now() + timedelta(seconds=delay_seconds),
    )
    if delay_seconds <= 0:
        notify(OUTBOX_CHANNEL)


def notify(channel: str, payload: str = "") -> None:
    """Send a PostgreSQL notification when the current transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])

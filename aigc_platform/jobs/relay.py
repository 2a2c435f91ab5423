"""The only code that speaks to the broker: it publishes what transactions have written to the outbox.

At least once: a crash between publish and commit sends a ring twice, and a ring costs nothing.
"""

from datetime import timedelta
from typing import Any

import structlog
from celery import Celery
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from kombu import Connection
from kombu.exceptions import OperationalError

from aigc_platform.common import failpoints
from aigc_platform.jobs.models import Outbox, Worker, WorkerState

RING_TASK = "jobs.ring"
"""Task name on the wire; the function is in `workers.tasks`."""

_BATCH = 100
_MAX_BACKOFF_SECONDS = 30
_BROKER_SECONDS = 30
"""More than it takes to give up a broker that does not answer: several waits of `socket_timeout`."""
log = structlog.get_logger(__name__)


def publish_pending(app: Celery) -> int:
    """Publish up to one batch of waiting outbox rows.

    Rows of a batch that the broker does not take wait for a growing time; nothing is lost.

    Returns:
        How many rows were dealt with; 0 also when the broker is away.
    """
    with transaction.atomic():
        _ask_for_patience()
        rows = list(
            Outbox.objects.select_for_update(skip_locked=True)
            .filter(published_at__isnull=True, available_at__lte=Now())
            .order_by("available_at", "id")[:_BATCH]
        )
        if not rows:
            return 0
        with app.connection_for_write() as broker:
            try:
                _publish(app, broker, rows)
            except _broker_errors(broker) as error:
                log.warning("broker_unreachable", error=str(error), waiting=len(rows))
                _postpone(rows)
                return 0
        failpoints.reach("rings.published")
        Outbox.objects.filter(pk__in=[row.pk for row in rows]).update(
            published_at=Now(), tries=F("tries") + 1
        )
        return len(rows)


def _ask_for_patience() -> None:
    """The broker is asked within the transaction, and a frozen one takes its time to be given up."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [f"{_BROKER_SECONDS}s"]
        )


def _broker_errors(broker: Connection) -> tuple[type[BaseException], ...]:
    """Return what being away, frozen or contrary looks like, in kombu's words and in its transport's."""
    return (OperationalError, *broker.connection_errors, *broker.channel_errors)


def _publish(app: Celery, broker: Connection, rows: list[Outbox]) -> None:
    # One quick try: the rows wait for the next round anyway.
    broker.ensure_connection(max_retries=1, interval_start=0)
    waiting: dict[str, int] = {}
    enough: dict[str, int] = {}
    with broker.Producer(serializer="json") as producer:
        for row in rows:
            queue = row.payload["queue"]
            if queue not in waiting:
                waiting[queue] = _waiting_rings(producer, queue)
                enough[queue] = _enough_rings(queue)
            if waiting[queue] < (1 if row.payload.get("only_if_silent") else enough[queue]):
                app.send_task(RING_TASK, queue=queue, producer=producer, ignore_result=True)
                waiting[queue] += 1


def _enough_rings(queue: str) -> int:
    """Return how many waiting rings wake every worker of the queue: each makes one look until its queues are empty.

    A worker that comes later rings for itself.
    """
    return max(1, Worker.objects.filter(queues__contains=[queue]).exclude(state=WorkerState.GONE).count())


def _waiting_rings(producer: Any, queue: str) -> int:
    # A Redis list that is empty does not exist, and kombu's passive declare calls that an error.
    return int(producer.channel.client.llen(queue))


def _postpone(rows: list[Outbox]) -> None:
    for row in rows:
        delay = min(_MAX_BACKOFF_SECONDS, 2 ** min(row.tries, 10))
        Outbox.objects.filter(pk=row.pk).update(
            tries=F("tries") + 1, available_at=Now() + timedelta(seconds=delay)
        )

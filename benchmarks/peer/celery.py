"""Celery as shipped, on the same broker and database: early acknowledgement, no result backend, JSON.

celery -A benchmarks.peer.celery worker --pool prefork --concurrency 1
"""

from celery import Celery
from django.conf import settings

from aigc_platform.settings.env import use_settings

use_settings("benchmarks.peer.settings")

app = Celery("peer")
app.conf.update(broker_url=settings.BROKER_URL, task_ignore_result=True, task_default_queue="peer")

COUNTER = "peer:done"


def counter() -> int:
    """Return how many no-op tasks have run."""
    with app.connection_for_read() as connection:
        return int(connection.default_channel.client.get(COUNTER) or 0)


@app.task(name="peer.noop", ignore_result=True)
def noop() -> None:
    """Do nothing, and be counted."""
    with app.pool.acquire(block=True) as connection:
        connection.default_channel.client.incr(COUNTER)


@app.task(name="peer.usual", ignore_result=True)
def usual(pk: int) -> None:
    """What tutorials show: get, save, work, save."""
    from benchmarks.peer.models import UsualJob

    job = UsualJob.objects.get(pk=pk)
    job.status = "running"
    job.save()
    job.status, job.result = "succeeded", {"state": 0}
    job.save()

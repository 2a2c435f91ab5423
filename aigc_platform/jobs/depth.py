"""How full the queues are: a safety valve that must not make submissions slower the fuller they get."""

from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from aigc_platform.jobs.exceptions import QueueFullError
from aigc_platform.jobs.kinds import queue_names
from aigc_platform.jobs.models import Job, QueueDepth
from aigc_platform.jobs.states import JobStatus

_FRESH = timedelta(seconds=60)
_COUNT_EVERY = timedelta(seconds=10)


def refuse_if_full(queue: str) -> None:
    """Refuse a submission while `QUEUE_MAX_JOBS` jobs wait in its queue.

    Far below the limit the engine's last count is good enough; near it, or without one, the rows are counted.

    Raises:
        QueueFullError: the queue is full.
    """
    limit: int = settings.QUEUE_MAX_JOBS
    fresh = QueueDepth.objects.filter(pk=queue, counted_at__gte=Now() - _FRESH)
    counted = fresh.values_list("queued", flat=True).first()
    if counted is not None and counted < limit // 2:
        return
    if len(_waiting(queue)[:limit]) >= limit:
        raise QueueFullError


def count_queues() -> int:
    """Count the waiting jobs of every queue whose last count is old; return how many queues were counted."""
    recent = set(QueueDepth.objects.filter(counted_at__gte=Now() - _COUNT_EVERY).values_list("pk", flat=True))
    old = [queue for queue in queue_names() if queue not in recent]
    for queue in old:
        QueueDepth.objects.update_or_create(
            pk=queue, defaults={"queued": _waiting(queue).count(), "counted_at": Now()}
        )
    return len(old)


def _waiting(queue: str) -> "QuerySet[Job, tuple[str]]":
    return Job.objects.filter(status=JobStatus.QUEUED, queue=queue).order_by().values_list("queue")

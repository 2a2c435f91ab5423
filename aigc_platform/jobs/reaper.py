"""What has to happen when nobody is there to do it: lost leases, silent queues, missed deadlines."""

from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from aigc_platform.jobs.models import Job, Outbox, Worker, WorkerState
from aigc_platform.jobs.outbox import write_ring
from aigc_platform.jobs.recovery import recover
from aigc_platform.jobs.states import JobStatus, StatusReason
from aigc_platform.jobs.transitions import transition

ACTOR = "engine"
_BATCH = 100
_KEEP_PUBLISHED = timedelta(hours=1)
_SILENT_SECONDS = 10
_RING_LOCK = 0x61696763
"""Advisory lock: of several engines one at a time looks for silent queues."""


def requeue_lost_jobs() -> int:
    """Take the job from every holder whose lease has run out, and settle it.

    A cancel or pause under way is confirmed; otherwise the job goes back to its queue with a recovery spent and a
    back-off, or fails as `worker_lost` when its recoveries are used up.

    Returns:
        How many jobs were taken.
    """
    taken = 0
    while taken < _BATCH:
        with transaction.atomic():
            expired = Job.objects.select_for_update(of=("self",), skip_locked=True).filter(
                lease_expires_at__lt=Now()
            )
            job = expired.order_by("lease_expires_at").first()
            if job is None:
                return taken
            _settle_lost(job)
        taken += 1
    return taken


def _settle_lost(job: Job) -> None:
    error = {
        "code": "job.worker_lost",
        "message": f"The worker was lost {job.recoveries + 1} times while it ran this job.",
        "errors": [],
    }
    recover(job, job.fence, actor=ACTOR, reason=StatusReason.WORKER_LOST, error=error)


def expire_late_starts() -> int:
    """End every job that nobody started in the time its owner allowed, as `expired`."""
    late = Job.objects.filter(
        status__in=[JobStatus.QUEUED, JobStatus.PAUSED], start_deadline_at__lt=Now(), attempt_count=0
    )
    expired = 0
    for job_id in late.values_list("pk", flat=True)[:_BATCH]:
        with transaction.atomic():
            row = Job.objects.select_for_update(of=("self",), skip_locked=True).filter(
                pk=job_id, status__in=[JobStatus.QUEUED, JobStatus.PAUSED]
            )
            if row.exists():
                transition(job_id, JobStatus.EXPIRED, actor=ACTOR, reason=StatusReason.DEADLINE)
                expired += 1
    return expired


def ring_silent_queues() -> int:
    """Ring each queue that has due jobs and no ring since `_SILENT_SECONDS`: this repairs a wiped broker."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_RING_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        due = Job.objects.filter(status=JobStatus.QUEUED, run_at__lte=Now())
        rung = Outbox.objects.filter(created_at__gte=Now() - timedelta(seconds=_SILENT_SECONDS))
        fresh = set(rung.values_list("payload__queue", flat=True))
        silent = set(due.order_by().values_list("queue", flat=True).distinct()) - fresh
        for queue in sorted(silent):
            write_ring(queue, only_if_silent=True)
    return len(silent)


def retire_lost_workers() -> int:
    """Mark workers that have not beaten for two leases as `gone`."""
    oldest = Now() - timedelta(seconds=2 * settings.LEASE_SECONDS)
    return (
        Worker.objects.filter(last_beat_at__lt=oldest)
        .exclude(state=WorkerState.GONE)
        .update(state=WorkerState.GONE)
    )


def delete_old_outbox_rows() -> int:
    deleted, _ = Outbox.objects.filter(published_at__lt=Now() - _KEEP_PUBLISHED).delete()
    return deleted

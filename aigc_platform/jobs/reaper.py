"""What has to happen when nobody is there to do it: lost leases, silent queues, missed deadlines."""

from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThan

from aigc_platform.jobs.exceptions import InvalidTransitionError
from aigc_platform.jobs.kinds import queue_names
from aigc_platform.jobs.models import AttemptOutcome, Job, Outbox, Worker, WorkerState
from aigc_platform.jobs.outbox import RING, write_ring
from aigc_platform.jobs.recovery import recover
from aigc_platform.jobs.selectors import with_run_time
from aigc_platform.jobs.services import request_stop
from aigc_platform.jobs.states import LEASED, JobStatus, StatusReason
from aigc_platform.jobs.transitions import transition

log = structlog.get_logger(__name__)

ACTOR = "engine"
_BATCH = 100
_KEEP = timedelta(hours=1)
_SILENT_SECONDS = 10
_ONE_SECOND = timedelta(seconds=1)
_RING_LOCK = 0x61696763
"""Advisory lock: of several engines one at a time looks for silent queues."""


def requeue_lost_jobs() -> int:
    """Take the job from every holder whose lease has run out, and settle it.

    A cancel or pause under way is confirmed; otherwise the job goes back to its queue with a recovery spent and a
    back-off, or fails as `worker_lost` when its recoveries are used up. A job that cannot be settled (its kind
    raises) is logged and left for the next pass; it does not stop the others.

    Returns:
        How many jobs were taken.
    """
    taken = 0
    unsettled: set[UUID] = set()
    while taken < _BATCH:
        with transaction.atomic():
            expired = Job.objects.select_for_update(of=("self",), skip_locked=True).filter(
                lease_expires_at__lt=Now()
            )
            job = expired.exclude(pk__in=unsettled).order_by("lease_expires_at").first()
            if job is None:
                return taken
            if _settled_lost(job):
                taken += 1
            else:
                unsettled.add(job.pk)
    return taken


def _settled_lost(job: Job) -> bool:
    error = {
        "code": "job.worker_lost",
        "message": f"The worker was lost {job.recoveries + 1} times while it ran this job.",
        "errors": [],
    }
    try:
        with transaction.atomic():
            recover(
                job,
                job.fence,
                actor=ACTOR,
                reason=StatusReason.WORKER_LOST,
                error=error,
                outcome=AttemptOutcome.LEASE_LOST,
            )
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("lost_job_not_settled", job=str(job.pk))
        return False
    return True


def expire_late_starts() -> int:
    """End every job that nobody started in the time its owner allowed, as `expired`; return how many."""
    late = Job.objects.filter(
        status__in=[JobStatus.QUEUED, JobStatus.PAUSED], start_deadline_at__lt=Now(), attempt_count=0
    )
    return sum(_expired(job_id) for job_id in list(late.values_list("pk", flat=True)[:_BATCH]))


def _expired(job_id: UUID) -> bool:
    try:
        transition(job_id, JobStatus.EXPIRED, actor=ACTOR, reason=StatusReason.DEADLINE)
    except InvalidTransitionError:
        # A worker, its owner or another engine was quicker.
        return False
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("late_job_not_expired", job=str(job_id))
        return False
    return True


def stop_overdue_jobs() -> int:
    """Ask the holders of jobs that have run longer than allowed to stop them; they end `failed`, reason `deadline`.

    What counts is the time of all attempts together: waiting and pausing cost nothing.

    Returns:
        How many jobs were asked for.
    """
    held = Job.objects.filter(
        status__in=LEASED - {JobStatus.CANCELING},
        lease_expires_at__isnull=False,
        run_timeout_seconds__isnull=False,
    )
    allowed = ExpressionWrapper(F("run_timeout_seconds") * _ONE_SECOND, output_field=DurationField())
    overdue = with_run_time(held).filter(GreaterThan(F("run_time"), allowed))
    return sum(_stopped(job_id) for job_id in list(overdue.values_list("pk", flat=True)[:_BATCH]))


def _stopped(job_id: UUID) -> bool:
    try:
        request_stop(job_id, actor=ACTOR, reason=StatusReason.DEADLINE)
    except InvalidTransitionError:
        # It ended, or somebody canceled it, a moment ago.
        return False
    return True


def ring_silent_queues() -> int:
    """Ring each queue that has due jobs and no ring since `_SILENT_SECONDS`: this repairs a wiped broker.

    Returns:
        How many queues were rung.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_RING_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        silent = [queue for queue in queue_names() if _has_due_job(queue) and not _is_rung(queue)]
        for queue in silent:
            write_ring(queue, only_if_silent=True)
    return len(silent)


def _has_due_job(queue: str) -> bool:
    return Job.objects.filter(status=JobStatus.QUEUED, queue=queue, run_at__lte=Now()).exists()


def _is_rung(queue: str) -> bool:
    """Tell whether a ring was written a moment ago or still waits for the broker to come back."""
    rings = Outbox.objects.filter(topic=RING, payload__queue=queue)
    lately = Now() - timedelta(seconds=_SILENT_SECONDS)
    return (
        rings.filter(created_at__gte=lately, available_at__lte=Now()).exists()
        or rings.filter(published_at__isnull=True, available_at__lte=Now()).exists()
        or rings.filter(published_at__isnull=True, tries__gt=0).exists()
    )


def retire_lost_workers() -> int:
    """Mark workers that have not beaten for two leases as `gone`."""
    oldest = Now() - timedelta(seconds=2 * settings.LEASE_SECONDS)
    return (
        Worker.objects.filter(last_beat_at__lt=oldest)
        .exclude(state=WorkerState.GONE)
        .update(state=WorkerState.GONE)
    )


def delete_old_outbox_rows() -> int:
    old = Outbox.objects.filter(created_at__lt=Now() - _KEEP, published_at__isnull=False)
    deleted, _ = old.delete()
    return deleted

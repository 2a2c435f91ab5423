"""Reads. Every list that a user sees starts from `jobs_of`."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, DurationField, F, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Now

from aigc_platform.accounts.models import User
from aigc_platform.jobs.exceptions import JobNotFoundError
from aigc_platform.jobs.kinds import queue_names
from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job, JobEvent, Worker, WorkerState
from aigc_platform.jobs.states import LEASED, JobStatus

_POSITION_LIMIT = 1000
"""Positions past this are told as this: counting further would cost more than the answer is worth."""


@dataclass(frozen=True)
class QueuePlace:
    """Where a queued job stands and why it waits; both empty for a job that does not wait."""

    position: int | None = None
    reasons: list[str] = field(default_factory=list)


def jobs_of(owner: User) -> QuerySet[Job]:
    return Job.objects.filter(owner=owner)


def get_job(owner: User, job_id: UUID) -> Job:
    """Return the owner's job.

    Raises:
        JobNotFoundError: no such job, or another user's.
    """
    job = jobs_of(owner).filter(pk=job_id).first()
    if job is None:
        raise JobNotFoundError
    return job


def events_after(job: Job, seq: int = 0) -> QuerySet[JobEvent]:
    return JobEvent.objects.filter(job=job, seq__gt=seq).order_by("seq")


def progress_after(job: Job, seq: int = 0) -> QuerySet[JobEvent]:
    """Return the events that carry progress figures."""
    return events_after(job, seq).filter(type=f"{job.kind}.progress")


def artifacts_of(job: Job) -> QuerySet[Artifact]:
    """Return the job's outputs, unless their deletion was asked for."""
    shown = Artifact.objects.filter(job=job, job__deletion_requested_at__isnull=True)
    return shown.order_by("role", "index")


def good_checkpoints(job: Job) -> QuerySet[Checkpoint]:
    """Return the committed checkpoints that may be resumed from, newest first."""
    return Checkpoint.objects.filter(job=job, is_corrupt=False, deleted_at__isnull=True).order_by(
        "-fence", "-step"
    )


def live_workers() -> QuerySet[Worker]:
    """Return the workers whose last beat is younger than one lease."""
    oldest = Now() - timedelta(seconds=settings.LEASE_SECONDS)
    return Worker.objects.filter(last_beat_at__gte=oldest).exclude(state=WorkerState.GONE)


def queue_place(job: Job) -> QueuePlace:
    """Say how many due jobs stand before this one in its queue, and why it waits."""
    if job.status != JobStatus.QUEUED:
        return QueuePlace()
    before = Q(priority__gt=job.priority) | Q(priority=job.priority, run_at__lt=job.run_at)
    ahead = Job.objects.filter(status=JobStatus.QUEUED, queue=job.queue).filter(before)
    position = len(ahead.values_list("pk")[:_POSITION_LIMIT]) + 1
    return QueuePlace(position=position, reasons=_waiting_reasons(job))


def _waiting_reasons(job: Job) -> list[str]:
    serving = live_workers().filter(queues__contains=[job.queue])
    states = list(serving.values_list("state", flat=True))
    if not states:
        return ["no_worker"]
    if Job.objects.filter(pk=job.pk, run_at__gt=Now()).exists():
        return ["backoff" if job.status_reason else "scheduled"]
    if all(state != WorkerState.READY for state in states):
        return ["workers_busy"]
    return []


@dataclass(frozen=True)
class QueueState:
    """How busy a queue is, over all users."""

    name: str
    queued: int
    running: int
    workers: int
    oldest_queued_at: datetime | None


def queue_states() -> list[QueueState]:
    """Return the state of every queue that a registered kind uses, by name."""
    open_jobs = Job.objects.filter(status__in=[JobStatus.QUEUED, *LEASED]).values("queue")
    counted: dict[str, dict[str, Any]] = {
        row["queue"]: dict(row)
        for row in open_jobs.annotate(
            queued=Count("pk", filter=Q(status=JobStatus.QUEUED)),
            running=Count("pk", filter=~Q(status=JobStatus.QUEUED)),
            oldest_queued_at=Min("queued_at", filter=Q(status=JobStatus.QUEUED)),
        )
    }
    served = [queue for queues in live_workers().values_list("queues", flat=True) for queue in queues]
    return [
        QueueState(
            name=name,
            queued=counted.get(name, {}).get("queued", 0),
            running=counted.get(name, {}).get("running", 0),
            workers=served.count(name),
            oldest_queued_at=counted.get(name, {}).get("oldest_queued_at"),
        )
        for name in queue_names()
    ]


def with_run_time(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Add `run_time`: how long all attempts of a job have run, or None before the first."""
    spent = Sum(Coalesce("ended_at", Now()) - F("started_at"), output_field=DurationField())
    attempts = Attempt.objects.filter(job=OuterRef("pk")).order_by().values("job")
    return jobs.annotate(run_time=Subquery(attempts.annotate(spent=spent).values("spent")))

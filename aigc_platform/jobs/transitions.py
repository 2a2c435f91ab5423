"""The one place that writes a job's status.

Every change is one conditional UPDATE (id, allowed source statuses and, for a worker, the fence) and one event
row, in one transaction. Zero rows mean the caller lost: someone else moved the job first.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from aigc_platform.jobs.exceptions import InvalidTransitionError, JobNotFoundError, LeaseLostError
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.listeners import tell_listeners
from aigc_platform.jobs.models import Attempt, AttemptOutcome, Job, JobEvent
from aigc_platform.jobs.states import LEASED, TERMINAL, JobStatus, StatusReason, sources_of


def transition(
    job_id: UUID,
    to: JobStatus,
    *,
    actor: str,
    fence: int | None = None,
    raise_fence: bool = False,
    sources: Iterable[JobStatus] | None = None,
    reason: StatusReason | str = "",
    data: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Job:
    """Move a job to another status and write the event, in one transaction.

    Args:
        to: the new status.
        actor: who does it: `user:<id>`, `worker:<name>`, `engine`, `admin:<id>`.
        fence: given by a lease holder; the change is refused if it is no longer the job's fence.
        raise_fence: give the job the next fence, which shuts out whoever held the last one.
        sources: statuses to accept; by default every status from which `to` may be reached.
        reason: the new status reason; empty clears it.
        data: more facts for the event.
        changes: other columns to set in the same UPDATE.

    Raises:
        InvalidTransitionError: the job is in a status that does not allow this.
        LeaseLostError: the fence is not the job's fence any more.
        JobNotFoundError: there is no such row.
    """
    allowed = sources_of(to) & frozenset(sources) if sources is not None else sources_of(to)
    columns = _columns_for(to, reason=reason) | changes
    if raise_fence:
        columns["fence"] = F("fence") + 1
    with transaction.atomic():
        before = (
            Job.objects.select_for_update(of=("self",)).filter(pk=job_id).values("status", "fence").first()
        )
        if before is None:
            raise JobNotFoundError
        if fence is not None and before["fence"] != fence:
            raise LeaseLostError
        if before["status"] not in allowed:
            raise InvalidTransitionError(f"The job is {before['status']}, so it cannot become {to.value}.")
        Job.objects.filter(pk=job_id).update(**columns, event_seq=F("event_seq") + 1)
        job = Job.objects.get(pk=job_id)
        facts = {"from": before["status"], "to": to.value, "reason": str(reason), "fence": job.fence}
        event = _append(job, f"{job.kind}.{to.value}", actor=actor, data=facts | dict(data or {}))
        tell_listeners(job, event)
        if to in TERMINAL and to is not JobStatus.SUCCEEDED:
            get_kind(job.kind).ended(job)
    return job


def append_event(
    job_id: UUID,
    event_type: str,
    *,
    actor: str,
    data: Mapping[str, Any] | None = None,
    fence: int | None = None,
    **changes: Any,
) -> JobEvent:
    """Write one event that changes no status; `changes` are columns to set in the same UPDATE.

    Raises:
        LeaseLostError: `fence` is given and is not the job's fence, or the job is not leased any more.
        InvalidTransitionError: the job has ended; nothing is written after that.
    """
    with transaction.atomic():
        rows = Job.objects.filter(pk=job_id)
        rows = (
            rows.filter(fence=fence, status__in=LEASED)
            if fence is not None
            else rows.exclude(status__in=TERMINAL)
        )
        if not rows.update(**changes, event_seq=F("event_seq") + 1):
            raise LeaseLostError if fence is not None else InvalidTransitionError
        return _append(Job.objects.get(pk=job_id), event_type, actor=actor, data=dict(data or {}))


def first_event(job: Job, *, actor: str, data: Mapping[str, Any]) -> JobEvent:
    """Write the event of a row that was just inserted with `event_seq=1`."""
    event = _append(job, f"{job.kind}.{job.status}", actor=actor, data=data)
    tell_listeners(job, event)
    return event


def end_attempt(
    job_id: UUID, fence: int, outcome: AttemptOutcome, *, reason: str = "", exit_code: int | None = None
) -> None:
    """Close the attempt row of this fence, once."""
    Attempt.objects.filter(job_id=job_id, fence=fence, ended_at__isnull=True).update(
        ended_at=Now(), outcome=outcome, reason=reason, exit_code=exit_code
    )


def _append(job: Job, event_type: str, *, actor: str, data: Mapping[str, Any]) -> JobEvent:
    return JobEvent.objects.create(job=job, seq=job.event_seq, actor=actor, type=event_type, data=dict(data))


def _columns_for(to: JobStatus, *, reason: StatusReason | str) -> dict[str, Any]:
    """Return the columns that the constraints tie to a status."""
    columns: dict[str, Any] = {"status": to, "status_reason": reason}
    if to in TERMINAL:
        columns["finished_at"] = Now()
    if to not in LEASED:
        columns |= {"lease_worker": None, "lease_expires_at": None}
    if to is JobStatus.RUNNING:
        columns["started_at"] = Coalesce(F("started_at"), Now())
    return columns

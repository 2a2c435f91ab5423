"""The one place that writes a job's status.

Every change is one conditional UPDATE (id, allowed source statuses and, for a worker, the fence) and one event
row, in one transaction. Zero rows mean the caller lost: someone else moved the job first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Now
from django.db.models.sql import UpdateQuery

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
    with transaction.atomic():
        job = Job.objects.select_for_update(of=("self",)).filter(pk=job_id).first()
        if job is None:
            raise JobNotFoundError
        if fence is not None and job.fence != fence:
            raise LeaseLostError
        [moved] = move(
            [job],
            to,
            actor=actor,
            raise_fence=raise_fence,
            sources=sources,
            reason=reason,
            facts=lambda _: data or {},
            **changes,
        )
    return moved


def move(
    locked: Sequence[Job],
    to: JobStatus,
    *,
    actor: str,
    raise_fence: bool = False,
    sources: Iterable[JobStatus] | None = None,
    reason: StatusReason | str = "",
    facts: Callable[[Job], Mapping[str, Any]] = lambda _: {},
    **changes: Any,
) -> list[Job]:
    """Move jobs to another status together: one UPDATE, one INSERT of their events, all or nothing.

    Args:
        locked: their rows as the caller's transaction has read and locked them; a lease holder has compared the fences.
        facts: more for the event of a job, which is given as it is after the change.

    The rest is as in `transition`. Returns the jobs after the change, in the same order.

    Raises:
        InvalidTransitionError: one of them is in a status that does not allow this.
    """
    allowed = sources_of(to) & frozenset(sources) if sources is not None else sources_of(to)
    for job in locked:
        if job.status not in allowed:
            raise InvalidTransitionError(f"The job is {job.status}, so it cannot become {to.value}.")
    columns = _columns_for(to, reason=reason) | changes | {"event_seq": F("event_seq") + 1}
    if raise_fence:
        columns["fence"] = F("fence") + 1
    rows = Job.objects.filter(pk__in=[job.pk for job in locked], status__in=allowed)
    moved = {job.pk: job for job in _update_returning(rows, columns)}
    if len(moved) != len(locked):
        raise InvalidTransitionError("The rows were not locked.")
    jobs = [moved[job.pk] for job in locked]
    events = [
        _event(
            job,
            {"from": before.status, "to": to.value, "reason": str(reason), "fence": job.fence}
            | dict(facts(job)),
            actor,
        )
        for before, job in zip(locked, jobs, strict=True)
    ]
    tell_listeners(list(zip(jobs, JobEvent.objects.bulk_create(events), strict=True)))
    if to in TERMINAL and to is not JobStatus.SUCCEEDED:
        for job in jobs:
            get_kind(job.kind).ended(job)
    return jobs


def _update_returning(rows: QuerySet[Job], columns: Mapping[str, Any]) -> list[Job]:
    """UPDATE … RETURNING, for which Django has no word: the new rows without another round trip."""
    update = cast(UpdateQuery, rows.query.chain(UpdateQuery))
    update.add_update_values(dict(columns))
    statement, parameters = update.get_compiler(connection=connection).as_sql()
    return list(Job.objects.raw(f"{statement} RETURNING *", parameters))


def _event(job: Job, data: Mapping[str, Any], actor: str) -> JobEvent:
    return JobEvent(job=job, seq=job.event_seq, actor=actor, type=f"{job.kind}.{job.status}", data=dict(data))


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
    tell_listeners([(job, event)])
    return event


def end_attempt(
    job_id: UUID, fence: int, outcome: AttemptOutcome, *, reason: str = "", exit_code: int | None = None
) -> None:
    """Close the attempt row of this fence, once."""
    Attempt.objects.filter(job_id=job_id, fence=fence, ended_at__isnull=True).update(
        ended_at=Now(), outcome=outcome, reason=reason, exit_code=exit_code
    )


def end_attempts(held: Sequence[Job], outcome: AttemptOutcome) -> None:
    """Close the open attempts of jobs that the caller's transaction holds under their fences."""
    _open_attempts(held).update(ended_at=Now(), outcome=outcome)


def note_runner(held: Sequence[Job], *, device: str, runner_pid: int) -> None:
    """Write into the open attempts of such jobs who runs them."""
    _open_attempts(held).update(device=device, runner_pid=runner_pid)


def _open_attempts(held: Sequence[Job]) -> QuerySet[Attempt]:
    return Attempt.objects.filter(
        job_id__in=[job.pk for job in held], fence__in={job.fence for job in held}, ended_at__isnull=True
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

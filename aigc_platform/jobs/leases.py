"""A worker's time-limited claim: renewing it, writing under it, giving it back.

Every function is guarded by the fence: once the reaper or a new claim has raised it, the old holder's calls raise
`LeaseLostError` and change nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from aigc_platform.common import failpoints
from aigc_platform.jobs.exceptions import LeaseLostError
from aigc_platform.jobs.models import Attempt, AttemptOutcome, Job
from aigc_platform.jobs.outbox import write_ring
from aigc_platform.jobs.states import LEASED, DesiredState, JobStatus, StatusReason
from aigc_platform.jobs.transitions import append_event, end_attempt, move, note_runner, transition

Hold = tuple[Job, int]
"""A job and the fence under which its worker holds it."""


def lease_end() -> CombinedExpression:
    """Return the SQL expression for a lease that starts now."""
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)


def renew_lease(job: Job, fence: int) -> DesiredState:
    """Extend the lease and return what the owner wants by now.

    Raises:
        LeaseLostError: the job is no longer this holder's.
    """
    with transaction.atomic():
        held = Job.objects.filter(pk=job.pk, fence=fence, status__in=LEASED)
        if not held.update(lease_expires_at=lease_end()):
            raise LeaseLostError
        failpoints.reach("lease.renewing")
        Attempt.objects.filter(job_id=job.pk, fence=fence).update(last_beat_at=Now())
        return DesiredState(held.values_list("desired", flat=True).get())


def lock_held(holds: Sequence[Hold]) -> list[Job]:
    """Return the rows of jobs that are leased under these fences, locked in one order, listed in the given one.

    Raises:
        LeaseLostError: one of them is no longer its holder's.
    """
    fences = {job.pk: fence for job, fence in holds}
    leased = (
        Job.objects.filter(pk__in=fences, status__in=LEASED).order_by("pk").select_for_update(of=("self",))
    )
    held = {job.pk: job for job in leased if job.fence == fences[job.pk]}
    if len(held) != len(fences):
        raise LeaseLostError
    return [held[pk] for pk in fences]


def report_running(holds: Sequence[Hold], *, actor: str, device: str, runner_pid: int) -> None:
    """Note that one runner works on these: `starting` → `running`, but where a cancel or pause came first.

    Raises:
        LeaseLostError: one of them is no longer its holder's; nothing is written.
    """
    with transaction.atomic():
        held = lock_held(holds)
        note_runner(held, device=device, runner_pid=runner_pid)
        starting = [job for job in held if job.status == JobStatus.STARTING]
        if starting:
            move(starting, JobStatus.RUNNING, actor=actor, facts=lambda _: {"device": device})


def report_progress(
    job: Job, fence: int, progress: Mapping[str, Any], *, actor: str, as_event: bool = False
) -> None:
    """Write the newest progress; with `as_event` also as a line of the job's history.

    Raises:
        LeaseLostError: the job is no longer this holder's.
    """
    content = dict(progress)
    if as_event:
        append_event(job.pk, f"{job.kind}.progress", actor=actor, data=content, fence=fence, progress=content)
        return
    if not Job.objects.filter(pk=job.pk, fence=fence, status__in=LEASED).update(progress=content):
        raise LeaseLostError


def requeue(
    job: Job,
    fence: int,
    *,
    actor: str,
    reason: StatusReason,
    delay_seconds: float = 0.0,
    spends_recovery: bool,
    exit_code: int | None = None,
    outcome: AttemptOutcome | None = None,
    **changes: Any,
) -> Job:
    """Give the job back to its queue; the fence rises, so nothing of this attempt can follow.

    Precondition: any leased status under this fence. A job whose cancel or pause is under way becomes `canceled` or
    `paused` instead: its owner's wish needs no other run.

    Args:
        delay_seconds: the job is due again after this time; its queue is rung then.
        outcome: of the attempt; by default what became of the job (`requeued`, `canceled`, `paused`).
        changes: other columns to set.
    """
    with transaction.atomic():
        settled = _settle_wish(
            job, fence, actor=actor, attempt_reason=reason, exit_code=exit_code, outcome=outcome
        )
        if settled is not None:
            return settled
        end_attempt(job.pk, fence, outcome or AttemptOutcome.REQUEUED, reason=reason, exit_code=exit_code)
        requeued = transition(
            job.pk,
            JobStatus.QUEUED,
            actor=actor,
            fence=fence,
            raise_fence=True,
            reason=reason,
            data={"delay_seconds": delay_seconds},
            run_at=Now() + timedelta(seconds=delay_seconds),
            queued_at=Now(),
            recoveries=F("recoveries") + (1 if spends_recovery else 0),
            **changes,
        )
        write_ring(job.queue, delay_seconds=delay_seconds)
        return requeued


def confirm_canceled(job: Job, fence: int, *, actor: str, exit_code: int | None = None) -> Job:
    """`canceling` → `canceled`: the runner is gone and nothing more will be published.

    Where the time to run was over, and not its owner's patience, the job is `failed` with reason `deadline`.
    """
    with transaction.atomic():
        current = Job.objects.select_for_update(of=("self",)).get(pk=job.pk)
        end_attempt(job.pk, fence, AttemptOutcome.CANCELED, exit_code=exit_code)
        return _end_as_wished(current, fence, actor=actor)


def confirm_paused(job: Job, fence: int, *, actor: str, exit_code: int | None = None) -> Job:
    """`pausing` → `paused`: the checkpoint is committed and the device is free."""
    with transaction.atomic():
        end_attempt(job.pk, fence, AttemptOutcome.PAUSED, exit_code=exit_code)
        return transition(
            job.pk, JobStatus.PAUSED, actor=actor, fence=fence, raise_fence=True, reason=StatusReason.USER
        )


def fail_job(
    job: Job,
    fence: int,
    *,
    actor: str,
    reason: StatusReason,
    error: Mapping[str, Any],
    exit_code: int | None = None,
    outcome: AttemptOutcome | None = None,
) -> Job:
    """End the job as `failed` with an error a person can act on; a cancel that came first wins."""
    with transaction.atomic():
        settled = _settle_wish(
            job,
            fence,
            actor=actor,
            wishes={JobStatus.CANCELING},
            attempt_reason=reason,
            exit_code=exit_code,
            outcome=outcome,
        )
        if settled is not None:
            return settled
        end_attempt(job.pk, fence, outcome or AttemptOutcome.FAILED, reason=reason, exit_code=exit_code)
        return transition(
            job.pk,
            JobStatus.FAILED,
            actor=actor,
            fence=fence,
            raise_fence=True,
            reason=reason,
            data={"error": dict(error)},
            error=dict(error),
        )


def _settle_wish(
    job: Job,
    fence: int,
    *,
    actor: str,
    wishes: Collection[JobStatus] = (JobStatus.CANCELING, JobStatus.PAUSING),
    attempt_reason: StatusReason,
    exit_code: int | None,
    outcome: AttemptOutcome | None,
) -> Job | None:
    """End a job as its owner asked, if a cancel or pause is under way; None if none is.

    Raises:
        LeaseLostError: the fence is not the job's any more.
    """
    current = Job.objects.select_for_update(of=("self",)).filter(pk=job.pk, fence=fence).first()
    if current is None:
        raise LeaseLostError
    if current.status not in wishes:
        return None
    ended_as = AttemptOutcome.CANCELED if current.status == JobStatus.CANCELING else AttemptOutcome.PAUSED
    end_attempt(job.pk, fence, outcome or ended_as, reason=attempt_reason, exit_code=exit_code)
    return _end_as_wished(current, fence, actor=actor)


def _end_as_wished(current: Job, fence: int, *, actor: str) -> Job:
    """Move a `pausing` or `canceling` job to where its wish leads, with the wish's own reason."""
    reason = current.status_reason or StatusReason.USER
    if current.status == JobStatus.PAUSING:
        return transition(
            current.pk, JobStatus.PAUSED, actor=actor, fence=fence, raise_fence=True, reason=reason
        )
    if reason != StatusReason.DEADLINE:
        return transition(
            current.pk, JobStatus.CANCELED, actor=actor, fence=fence, raise_fence=True, reason=reason
        )
    error = {
        "code": "job.deadline",
        "message": f"The job ran longer than the {current.run_timeout_seconds} s it was given.",
        "errors": [],
    }
    return transition(
        current.pk,
        JobStatus.FAILED,
        actor=actor,
        fence=fence,
        raise_fence=True,
        reason=reason,
        data={"error": error},
        error=error,
    )

"""What follows when an attempt ends without a result: run again, or give up."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.leases import fail_job, requeue
from aigc_platform.jobs.models import Attempt, AttemptOutcome, Checkpoint, Job
from aigc_platform.jobs.states import StatusReason

_DEADLY_ATTEMPTS = 3
"""A job whose runner died by a signal this often, with no checkpoint in between, is held to be the cause."""
_LONGEST_DELAY_SECONDS = 600.0


def recover(
    job: Job,
    fence: int,
    *,
    actor: str,
    reason: StatusReason,
    error: Mapping[str, Any],
    exit_code: int | None = None,
    outcome: AttemptOutcome | None = None,
) -> Job:
    """Queue the job again with a recovery spent, or fail it with `error` if none is left or if it is poison.

    A cancel or pause under way is settled instead. Raises as `leases.requeue`.
    """
    current = Job.objects.only("recoveries", "max_recoveries").get(pk=job.pk)
    if _is_poison(job, fence, exit_code):
        return fail_job(
            job,
            fence,
            actor=actor,
            reason=StatusReason.POISON,
            error=_poison_error(error),
            exit_code=exit_code,
            outcome=outcome,
        )
    if current.recoveries >= current.max_recoveries:
        return fail_job(
            job, fence, actor=actor, reason=reason, error=error, exit_code=exit_code, outcome=outcome
        )
    return requeue(
        job,
        fence,
        actor=actor,
        reason=reason,
        delay_seconds=recovery_delay_seconds(current.recoveries),
        spends_recovery=True,
        exit_code=exit_code,
        outcome=outcome,
    )


def recover_from_out_of_memory(
    job: Job, fence: int, *, actor: str, error: Mapping[str, Any], was_alone: bool
) -> Job:
    """Run once more where that can help: alone, or with what the kind offers in its place; else fail the job.

    Args:
        was_alone: False if other jobs shared the runner's memory.
    """
    can_shrink = not was_alone or get_kind(job.kind).less_memory(job.spec) is not None
    if not can_shrink or has_run_out_of_memory(job):
        return fail_job(job, fence, actor=actor, reason=StatusReason.OUT_OF_MEMORY, error=error)
    return requeue(
        job,
        fence,
        actor=actor,
        reason=StatusReason.OUT_OF_MEMORY,
        spends_recovery=True,
        # Without a group key nobody shares its runner.
        group_key="",
    )


def has_run_out_of_memory(job: Job) -> bool:
    """Tell whether an earlier attempt ended so; the next one gets along with less."""
    return Attempt.objects.filter(job_id=job.pk, reason=StatusReason.OUT_OF_MEMORY).exists()


def recovery_delay_seconds(recoveries: int) -> float:
    """Return the pause before the next run: none at first (promise P3), then 10 s doubling up to 10 minutes.

    `RECOVERY_DELAY_SECONDS` replaces the 10 s.
    """
    if recoveries == 0:
        return 0.0
    base: float = settings.RECOVERY_DELAY_SECONDS
    return min(_LONGEST_DELAY_SECONDS, base * 2.0 ** (recoveries - 1))


def _is_poison(job: Job, fence: int, exit_code: int | None) -> bool:
    """Tell whether this death by a signal is the third in a row without a checkpoint in between."""
    if exit_code is None or exit_code >= 0:
        return False
    earlier = Attempt.objects.filter(job_id=job.pk, fence__lt=fence).order_by("-number")
    last = list(earlier.values_list("fence", "exit_code")[: _DEADLY_ATTEMPTS - 1])
    if len(last) < _DEADLY_ATTEMPTS - 1 or any(code is None or code >= 0 for _, code in last):
        return False
    # What was committed before the first of these deaths does not count, so its attempt is left out.
    fences = [fence, *(earlier_fence for earlier_fence, _ in last[:-1])]
    return not Checkpoint.objects.filter(job_id=job.pk, fence__in=fences).exists()


def _poison_error(error: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "code": "job.poison",
        "message": f"Its runner was killed {_DEADLY_ATTEMPTS} times in a row without getting any further, so it is "
        f"not started again. The last time: {error.get('message', '')}",
        "errors": list(error.get("errors", [])),
    }

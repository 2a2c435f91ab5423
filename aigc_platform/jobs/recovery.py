"""What follows when an attempt ends through no fault of its job: run again, or give up."""

from collections.abc import Mapping
from typing import Any

from aigc_platform.jobs.leases import fail_job, requeue
from aigc_platform.jobs.models import AttemptOutcome, Job
from aigc_platform.jobs.states import StatusReason


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
    """Queue the job again with a recovery spent, or fail it with `error` if none is left.

    A cancel or pause under way is settled instead. Raises as `leases.requeue`.
    """
    current = Job.objects.only("recoveries", "max_recoveries").get(pk=job.pk)
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


def recovery_delay_seconds(recoveries: int) -> float:
    """Return the pause before the next run: none at first (promise P3), then 10 s doubling up to 10 minutes."""
    return 0.0 if recoveries == 0 else min(600.0, 10.0 * 2 ** (recoveries - 1))

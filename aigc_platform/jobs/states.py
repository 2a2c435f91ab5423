"""The job state machine: every status, every reason, every allowed change. No ORM, no I/O."""

from collections.abc import Mapping

from django.db.models import TextChoices


class JobStatus(TextChoices):
    QUEUED = "queued"
    """Waits for a worker, or for its time to run."""
    STARTING = "starting"
    """Claimed: the worker fetches inputs and starts a runner."""
    RUNNING = "running"
    """The runner has reported progress."""
    FINALIZING = "finalizing"
    """The runner is done; the last results are on their way to the store."""
    PAUSING = "pausing"
    """A pause was asked for; the worker writes a checkpoint."""
    PAUSED = "paused"
    """Holds a checkpoint and no device; goes on when resumed."""
    CANCELING = "canceling"
    """A cancel was asked for; the worker stops the runner."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    """Did not start in the time its owner allowed."""


class DesiredState(TextChoices):
    """What the owner wants; the worker confirms it by a change of status."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class StatusReason(TextChoices):
    USER = "user"
    DEADLINE = "deadline"
    WORKER_LOST = "worker_lost"
    OUT_OF_MEMORY = "out_of_memory"
    INVALID_INPUT = "invalid_input"
    NON_FINITE_LOSS = "non_finite_loss"
    STORAGE_ERROR = "storage_error"
    CODE_ERROR = "code_error"
    POISON = "poison"
    ADMIN = "admin"
    PREEMPTED = "preempted"
    DRAINED = "drained"
    QUOTA = "quota"


TERMINAL: frozenset[JobStatus] = frozenset(
    {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED}
)

LEASED: frozenset[JobStatus] = frozenset(
    {
        JobStatus.STARTING,
        JobStatus.RUNNING,
        JobStatus.FINALIZING,
        JobStatus.PAUSING,
        JobStatus.CANCELING,
    }
)
"""A worker holds the job; the lease columns are set in exactly these."""

PUBLISHABLE: frozenset[JobStatus] = frozenset(
    {JobStatus.STARTING, JobStatus.RUNNING, JobStatus.FINALIZING, JobStatus.PAUSING}
)
"""The holder may still finish with success. Not while canceling: the cancel came first."""

TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset(
        {JobStatus.STARTING, JobStatus.PAUSED, JobStatus.CANCELED, JobStatus.EXPIRED, JobStatus.FAILED}
    ),
    JobStatus.STARTING: frozenset(
        {
            JobStatus.RUNNING,
            JobStatus.FINALIZING,
            JobStatus.QUEUED,
            JobStatus.PAUSING,
            JobStatus.CANCELING,
            JobStatus.SUCCEEDED,
            JobStatus.FAILED,
        }
    ),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.FINALIZING,
            JobStatus.QUEUED,
            JobStatus.PAUSING,
            JobStatus.CANCELING,
            JobStatus.SUCCEEDED,
            JobStatus.FAILED,
        }
    ),
    JobStatus.FINALIZING: frozenset(
        {JobStatus.SUCCEEDED, JobStatus.QUEUED, JobStatus.PAUSING, JobStatus.CANCELING, JobStatus.FAILED}
    ),
    JobStatus.PAUSING: frozenset(
        {JobStatus.PAUSED, JobStatus.CANCELING, JobStatus.SUCCEEDED, JobStatus.FAILED}
    ),
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELED, JobStatus.EXPIRED}),
    JobStatus.CANCELING: frozenset({JobStatus.CANCELED, JobStatus.FAILED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELED: frozenset(),
    JobStatus.EXPIRED: frozenset(),
}


def sources_of(target: JobStatus) -> frozenset[JobStatus]:
    """Return every status from which `target` may be reached."""
    return frozenset(source for source, targets in TRANSITIONS.items() if target in targets)

"""What can go wrong with a job, each with a stable code."""

from aigc_platform.common.exceptions import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)


class InvalidTransitionError(ConflictError):
    """The job is not in a state that allows this."""

    code = "job.invalid_transition"


class LeaseLostError(ConflictError):
    """The worker no longer holds this job; whatever it did since is not published."""

    code = "job.lease_lost"


class JobNotFoundError(NotFoundError):
    """There is no such job, or it is not yours."""

    code = "job.not_found"


class IdempotencyMismatchError(InvalidInputError):
    """This Idempotency-Key was used before with a different request body; use a new key."""

    code = "request.idempotency_mismatch"


class NotResumableError(ConflictError):
    """This kind of job keeps no checkpoints, so it cannot be paused; cancel it and submit it again."""

    code = "job.not_resumable"


class QueueFullError(UnavailableError):
    """Too many jobs are waiting for workers of this kind; submit again later."""

    code = "job.queue_full"


class FilesInUseError(ConflictError):
    """The job's files are still needed by something else."""

    code = "job.files_in_use"

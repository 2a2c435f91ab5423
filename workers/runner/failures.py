"""Which exception means what to the person who waits for the job."""

import errno
import logging
from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from ml.catalog import UnknownRecipeError
from ml.errors import InvalidCheckpointError, InvalidDatasetError, MlError, NonFiniteLossError
from workers.runner.protocol import ExitStatus, Failed, Problem

log = logging.getLogger(__name__)

FailureReason = Literal[
    "invalid_input", "non_finite_loss", "out_of_memory", "storage_error", "worker_lost", "code_error"
]

_MAX_MESSAGE_CHARACTERS = 2_000
_MAX_PROBLEMS = 100
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_TORCH_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch's allocators say; on the CPU it is a plain RuntimeError."""

_FOREIGN_CHECKPOINT = frozenset({"checkpoint.other_run", "checkpoint.document"})
"""Whole, but of other settings, other data or another release: every worker would refuse it again."""


class JobError(Exception):
    """The job cannot be done, and the place that noticed knows exactly why."""

    def __init__(
        self, reason: FailureReason, code: str, message: str, problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code
        self.message = message
        self.problems = list(problems)


def exit_status(reason: FailureReason) -> ExitStatus:
    """The status of a runner whose only job failed for this reason."""
    if reason in {"invalid_input", "non_finite_loss"}:
        return ExitStatus.USER_ERROR
    return ExitStatus.INFRASTRUCTURE_ERROR


def describe(job_id: str, error: BaseException) -> Failed:
    """Say in one sentence why the job failed. An unexpected error's traceback goes to the log only."""
    known = _recognise(error)
    if known is None:
        log.error("job %s failed unexpectedly", job_id, exc_info=error)
        known = JobError(
            "code_error",
            "runner.unexpected_error",
            f"The program met an unexpected {type(error).__name__}; the worker's log says where.",
        )
    return Failed(
        job_id=job_id,
        reason=known.reason,
        code=known.code,
        message=known.message[:_MAX_MESSAGE_CHARACTERS],
        errors=known.problems[:_MAX_PROBLEMS],
    )


def from_validation(error: ValidationError, *, prefix: str = "") -> JobError:
    """Name each wrong field by its JSON pointer into the spec; `prefix` is where the checked part lies in it."""
    problems = [
        Problem(
            pointer="/".join((prefix, *(str(part) for part in detail["loc"]))),
            code=detail["type"],
            message=detail["msg"],
        )
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return JobError("invalid_input", "spec.invalid", "The job's specification is not valid.", problems)


def is_known(error: BaseException) -> bool:
    """Whether the error says by itself what went wrong; others are mistakes, or echoes of something else."""
    return _recognise(error) is not None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is the host's or the device's memory running out, whatever the exception's class."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _TORCH_OUT_OF_MEMORY)


def _recognise(error: BaseException) -> JobError | None:
    if isinstance(error, JobError):
        return error
    if is_out_of_memory(error):
        return JobError(
            "out_of_memory",
            "runner.out_of_memory",
            "The job needs more memory than the worker has: use smaller images, batches or networks.",
        )
    if isinstance(error, MlError):
        return _from_ml(error)
    if isinstance(error, UnknownRecipeError):
        return JobError("invalid_input", error.code, str(error))
    if isinstance(error, ValidationError):
        return from_validation(error)
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return JobError(
            "storage_error",
            "runner.scratch_storage",
            f"The worker could not write its files: {error.strerror}.",
        )
    return None


def _from_ml(error: MlError) -> JobError:
    if isinstance(error, NonFiniteLossError):
        return JobError("non_finite_loss", error.code, error.message)
    if isinstance(error, InvalidCheckpointError) and error.code in _FOREIGN_CHECKPOINT:
        return JobError("invalid_input", error.code, error.message)
    if isinstance(error, InvalidCheckpointError):
        # The bytes had the right hash on the way here, so the copy or the disk is bad, not the request.
        return JobError("storage_error", error.code, error.message)
    if isinstance(error, InvalidDatasetError):
        problems = [
            Problem(
                pointer=entry["file"][:500],
                code=entry["code"],
                message=entry["message"][:_MAX_MESSAGE_CHARACTERS],
            )
            for entry in error.errors
        ]
        return JobError("invalid_input", error.code, error.message, problems)
    return JobError("invalid_input", error.code, error.message)

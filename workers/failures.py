"""What went wrong, in the words of the job's error: a stable code, a sentence, the fields concerned."""

from collections.abc import Sequence
from typing import Any

from aigc_platform.common.exceptions import PlatformError
from workers.runner.protocol import Failed
from workers.runner_process import RunnerDiedError

JobErrorObject = dict[str, Any]


def error_object(code: str, message: str, errors: Sequence[dict[str, str]] = ()) -> JobErrorObject:
    """Return the `error` of a job: what its owner reads."""
    return {"code": code, "message": message, "errors": list(errors)}


def from_runner_failure(failed: Failed) -> JobErrorObject:
    return error_object(failed.code, failed.message, [problem.model_dump() for problem in failed.errors])


def from_platform_error(error: PlatformError) -> JobErrorObject:
    return error_object(error.code, error.message, [problem.as_dict() for problem in error.errors])


def from_runner_death(death: RunnerDiedError) -> JobErrorObject:
    return error_object("runner.died", f"{death} It was started again as often as the job allows.")


def runner_not_started(error: OSError) -> JobErrorObject:
    return error_object("runner.not_started", f"The worker could not start a runner: {error.strerror}.")


def runner_stalled(seconds: float) -> JobErrorObject:
    return error_object(
        "runner.stalled",
        f"The runner said nothing for {seconds:g} s and was ended; what it was doing is kept in the job's logs. "
        "It was started again as often as the job allows.",
    )


def unexpected() -> JobErrorObject:
    """Return the one sentence for what nobody foresaw; the operator finds the traceback in the log."""
    return error_object(
        "job.unexpected_error",
        "Something unexpected went wrong in the platform; its operator finds the details in the worker's log.",
    )

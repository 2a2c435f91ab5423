import errno
import logging

import pytest
import torch
from pydantic import BaseModel, ValidationError

from ml.catalog import UnknownRecipeError
from ml.errors import (
    FileError,
    InvalidCheckpointError,
    InvalidDatasetError,
    InvalidSampleError,
    NonFiniteLossError,
)
from workers.runner.failures import JobError, describe, exit_status, from_validation
from workers.runner.protocol import MAX_LINE_BYTES, ExitStatus, Problem, encode

MESSAGE = "What was wrong."


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (InvalidDatasetError("dataset.empty", MESSAGE), "invalid_input", "dataset.empty"),
        (InvalidSampleError("sample.seed", MESSAGE), "invalid_input", "sample.seed"),
        (UnknownRecipeError("x"), "invalid_input", "recipe.unknown"),
        (InvalidCheckpointError("checkpoint.names", MESSAGE), "storage_error", "checkpoint.names"),
        (InvalidCheckpointError("checkpoint.other_run", MESSAGE), "invalid_input", "checkpoint.other_run"),
        (InvalidCheckpointError("checkpoint.document", MESSAGE), "invalid_input", "checkpoint.document"),
        (NonFiniteLossError("training.non_finite", MESSAGE), "non_finite_loss", "training.non_finite"),
        (MemoryError(), "out_of_memory", "runner.out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory", "runner.out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory", "runner.out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage_error", "runner.scratch_storage"),
        (OSError(errno.EFBIG, "File too large"), "storage_error", "runner.scratch_storage"),
        (FileNotFoundError(errno.ENOENT, "x"), "code_error", "runner.unexpected_error"),
        (RuntimeError("shape mismatch"), "code_error", "runner.unexpected_error"),
        (JobError("invalid_input", "a.b", MESSAGE), "invalid_input", "a.b"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_has_its_reason(error: Exception, reason: str, code: str) -> None:
    failed = describe("job-1", error)
    assert (failed.job_id, failed.reason, failed.code) == ("job-1", reason, code)
    assert failed.message


def test_torch_running_out_of_the_hosts_memory_is_recognised() -> None:
    """The CPU allocator raises a plain RuntimeError: ask it for far more than there is."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert describe("job-1", caught.value).reason == "out_of_memory"


def test_an_unexpected_error_shows_its_trace_to_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    empty: dict[str, int] = {}
    with pytest.raises(KeyError) as caught:
        empty["secret detail"]
    with caplog.at_level(logging.ERROR):
        failed = describe("job-1", caught.value)
    assert "KeyError" in failed.message
    assert "secret detail" not in failed.model_dump_json()
    assert "secret detail" in caplog.text
    assert "Traceback" in caplog.text


class Inner(BaseModel):
    count: int


class Spec(BaseModel):
    inner: list[Inner]
    name: str


def test_validation_errors_become_pointers() -> None:
    with pytest.raises(ValidationError) as caught:
        Spec.model_validate({"inner": [{"count": 1}, {"count": "many"}]})
    assert {p.pointer for p in describe("job-1", caught.value).errors} == {"/inner/1/count", "/name"}
    assert {p.pointer for p in from_validation(caught.value, prefix="/config").problems} == {
        "/config/inner/1/count",
        "/config/name",
    }


def test_the_files_at_fault_are_named_and_the_message_stays_within_the_protocol() -> None:
    huge = "x" * 1_000_000
    errors: list[FileError] = [
        {"file": f"{i}/{huge}.png", "code": "dataset.not_an_image", "message": huge} for i in range(150)
    ]
    failed = describe("job-1", InvalidDatasetError("dataset.invalid_files", huge, errors))
    assert len(failed.errors) == 100
    assert failed.errors[7].pointer.startswith("7/xx")
    assert failed.errors[7].code == "dataset.not_an_image"
    assert len(encode(failed)) < MAX_LINE_BYTES


def test_problems_of_a_job_error_are_kept() -> None:
    problem = Problem(pointer="/classes/0", code="sample.unknown_class", message=MESSAGE)
    assert describe("job-1", JobError("invalid_input", "a.b", MESSAGE, [problem])).errors == [problem]


def test_only_errors_of_the_user_end_with_the_users_status() -> None:
    assert exit_status("invalid_input") == ExitStatus.USER_ERROR
    assert exit_status("non_finite_loss") == ExitStatus.USER_ERROR
    assert exit_status("out_of_memory") == ExitStatus.INFRASTRUCTURE_ERROR
    assert exit_status("storage_error") == ExitStatus.INFRASTRUCTURE_ERROR
    assert exit_status("code_error") == ExitStatus.INFRASTRUCTURE_ERROR

"""Run again, or give up: deaths by a signal, memory that ran out."""

import pytest

from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.finishing import commit_checkpoint
from aigc_platform.jobs.models import Attempt, Job
from aigc_platform.jobs.recovery import recover, recover_from_out_of_memory
from aigc_platform.jobs.states import JobStatus, StatusReason
from tests.factories.jobs import (
    RIGID,
    claim_new,
    claim_one,
    let_backoff_pass,
    stored_checkpoint,
    submit,
)

pytestmark = pytest.mark.django_db

_DIED = {"code": "runner.died", "message": "The runner ended with signal 11.", "errors": []}
_NO_MEMORY = {"code": "runner.out_of_memory", "message": "Too large.", "errors": []}


def _die(claim: Claim, exit_code: int | None = -11) -> Job:
    return recover(
        claim.job,
        claim.fence,
        actor=claim.actor,
        reason=StatusReason.WORKER_LOST,
        error=_DIED,
        exit_code=exit_code,
    )


def _again(job: Job) -> Claim:
    let_backoff_pass(job)
    return claim_one()


def _checkpoint(claim: Claim, step: int) -> None:
    commit_checkpoint(claim.job, claim.fence, stored_checkpoint(claim, step), actor=claim.actor)


def test_the_third_death_in_a_row_without_a_checkpoint_is_poison() -> None:
    claim = claim_new()
    job = claim.job
    assert _die(claim).status == JobStatus.QUEUED
    assert _die(_again(job)).status == JobStatus.QUEUED
    failed = _die(_again(job))
    assert (failed.status, failed.status_reason) == (JobStatus.FAILED, StatusReason.POISON)
    assert failed.error is not None
    assert failed.error["code"] == "job.poison"
    assert "killed 3 times" in failed.error["message"]
    assert failed.error["message"].endswith("signal 11.")
    assert Attempt.objects.filter(exit_code=-11).count() == 3


@pytest.mark.parametrize("exit_code", [None, 0, 69])
def test_an_end_by_another_cause_breaks_the_row(exit_code: int | None) -> None:
    claim = claim_new()
    _die(claim)
    _die(_again(claim.job), exit_code)
    assert _die(_again(claim.job)).status == JobStatus.QUEUED


def test_a_checkpoint_between_two_deaths_breaks_the_row_and_one_before_the_first_does_not() -> None:
    claim = claim_new()
    job = claim.job
    _checkpoint(claim, 10)
    _die(claim)
    second = _again(job)
    _checkpoint(second, 20)
    _die(second)
    _die(_again(job))
    assert Job.objects.get(pk=job.pk).status == JobStatus.QUEUED
    assert _die(_again(job)).status_reason == StatusReason.POISON


def test_a_checkpoint_of_the_last_attempt_saves_it_too() -> None:
    claim = claim_new()
    job = claim.job
    _die(claim)
    _die(_again(job))
    third = _again(job)
    _checkpoint(third, 30)
    assert _die(third).status == JobStatus.QUEUED


def _run_out_of_memory(claim: Claim, *, was_alone: bool) -> Job:
    return recover_from_out_of_memory(
        claim.job, claim.fence, actor=claim.actor, error=_NO_MEMORY, was_alone=was_alone
    )


def test_a_job_that_ran_out_of_memory_alone_and_cannot_do_with_less_fails() -> None:
    job = _run_out_of_memory(claim_new(RIGID.name), was_alone=True)
    assert (job.status, job.status_reason, job.error) == (
        JobStatus.FAILED,
        StatusReason.OUT_OF_MEMORY,
        _NO_MEMORY,
    )


def test_a_job_that_can_do_with_less_runs_once_more() -> None:
    claim = claim_new()
    queued = _run_out_of_memory(claim, was_alone=True)
    assert (queued.status, queued.status_reason) == (JobStatus.QUEUED, StatusReason.OUT_OF_MEMORY)
    failed = _run_out_of_memory(_again(claim.job), was_alone=True)
    assert (failed.status, failed.status_reason) == (JobStatus.FAILED, StatusReason.OUT_OF_MEMORY)


def test_a_job_that_shared_its_runner_runs_once_more_alone() -> None:
    claim = claim_new(group_key="model")
    assert _run_out_of_memory(claim, was_alone=False).group_key == ""
    submit(group_key="model")
    again = claim_one()
    assert again.job.pk == claim.job.pk
    assert _run_out_of_memory(again, was_alone=False).status == JobStatus.FAILED

"""Holding a job: renewing, writing under the fence, giving it back; and being shut out."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from aigc_platform.jobs import leases
from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.exceptions import LeaseLostError
from aigc_platform.jobs.finishing import commit_checkpoint, publish_preview
from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job, JobEvent, Outbox
from aigc_platform.jobs.recovery import recover, recovery_delay_seconds
from aigc_platform.jobs.services import request_cancel, request_pause
from aigc_platform.jobs.states import DesiredState, JobStatus, StatusReason
from tests.factories.jobs import (
    TOY,
    claim_new,
    claim_one,
    complete,
    let_backoff_pass,
    let_lease_expire,
    report_finalizing,
    report_running,
    stored_checkpoint,
    stored_file,
)

pytestmark = pytest.mark.django_db

_ERROR = {"code": "toy.broken", "message": "It broke.", "errors": []}


def _requeue(claim: Claim, **fields: object) -> Job:
    arguments: dict[str, object] = {"reason": StatusReason.DRAINED, "spends_recovery": False} | fields
    return leases.requeue(claim.job, claim.fence, actor=claim.actor, **arguments)  # type: ignore[arg-type]  # test data


def _recover(claim: Claim) -> Job:
    return recover(
        claim.job,
        claim.fence,
        actor=claim.actor,
        reason=StatusReason.STORAGE_ERROR,
        error=_ERROR,
        exit_code=69,
    )


def _fail(claim: Claim) -> Job:
    return leases.fail_job(
        claim.job, claim.fence, actor=claim.actor, reason=StatusReason.CODE_ERROR, error=_ERROR, exit_code=1
    )


def _progress(claim: Claim, *, as_event: bool = False) -> None:
    content = {"current": 3, "total": 9, "unit": "step"}
    leases.report_progress(claim.job, claim.fence, content, actor=claim.actor, as_event=as_event)


_WRITES: dict[str, Callable[[Claim], object]] = {
    "renew": lambda claim: leases.renew_lease(claim.job, claim.fence),
    "running": report_running,
    "progress": _progress,
    "progress event": lambda claim: _progress(claim, as_event=True),
    "finalizing": report_finalizing,
    "preview": lambda claim: publish_preview(
        claim.job, claim.fence, stored_file(claim, role="grid"), actor=claim.actor
    ),
    "checkpoint": lambda claim: commit_checkpoint(
        claim.job, claim.fence, stored_checkpoint(claim, 5), actor=claim.actor
    ),
    "complete": lambda claim: complete(claim, stored_file(claim)),
    "requeue": _requeue,
    "recover": _recover,
    "fail": _fail,
    "canceled": lambda claim: leases.confirm_canceled(claim.job, claim.fence, actor=claim.actor),
    "paused": lambda claim: leases.confirm_paused(claim.job, claim.fence, actor=claim.actor),
}


def _state_of(claim: Claim) -> tuple[object, ...]:
    return (
        Job.objects.values_list().get(pk=claim.job.pk),
        list(Attempt.objects.order_by("pk").values_list("fence", "outcome", "ended_at")),
        list(JobEvent.objects.order_by("pk").values_list()),
        Artifact.objects.count(),
        Checkpoint.objects.count(),
    )


@pytest.mark.parametrize("write", _WRITES)
def test_a_holder_who_was_shut_out_writes_nothing(write: str) -> None:
    old = claim_new()
    report_running(old)
    let_lease_expire(old)
    _requeue(old)
    new = claim_one()
    report_running(new)
    before = _state_of(new)
    with pytest.raises(LeaseLostError):
        _WRITES[write](old)
    assert _state_of(new) == before


@pytest.mark.parametrize("write", _WRITES)
def test_after_the_end_the_last_holder_writes_nothing(write: str) -> None:
    claim = claim_new()
    complete(claim)
    before = _state_of(claim)
    with pytest.raises(LeaseLostError):
        _WRITES[write](claim)
    assert _state_of(claim) == before


def test_renewing_extends_the_lease_from_now_and_notes_the_beat() -> None:
    claim = claim_new()
    let_lease_expire(claim)
    Attempt.objects.update(last_beat_at=Now() - timedelta(hours=1))
    assert leases.renew_lease(claim.job, claim.fence) is DesiredState.RUN
    job = Job.objects.annotate(now=Now()).get()
    assert job.lease_expires_at is not None
    assert job.lease_expires_at - job.now > timedelta(seconds=58)
    assert Attempt.objects.filter(last_beat_at__gte=Now() - timedelta(seconds=5)).exists()


@pytest.mark.parametrize(
    ("ask", "desired"), [(request_cancel, DesiredState.CANCEL), (request_pause, DesiredState.PAUSE)]
)
def test_renewing_tells_what_the_owner_wants(ask: Callable[..., Job], desired: DesiredState) -> None:
    claim = claim_new()
    ask(claim.job.pk, actor="user:x")
    assert leases.renew_lease(claim.job, claim.fence) is desired


def test_running_is_reported_once_with_the_device_and_the_first_start_kept() -> None:
    claim = claim_new()
    report_running(claim)
    report_running(claim)
    job = Job.objects.get()
    assert (job.status, JobEvent.objects.filter(type="toy.running").count()) == (JobStatus.RUNNING, 1)
    first_start = job.started_at
    assert first_start is not None
    attempt = Attempt.objects.get()
    assert (attempt.device, attempt.runner_pid) == ("cpu", 4242)
    _requeue(claim)
    report_running(claim_one())
    assert Job.objects.get().started_at == first_start


@pytest.mark.parametrize(
    ("ask", "status"), [(request_cancel, JobStatus.CANCELING), (request_pause, JobStatus.PAUSING)]
)
@pytest.mark.parametrize("report", ["running", "finalizing"])
def test_a_wish_that_came_first_is_not_overwritten_by_a_report(
    ask: Callable[..., Job], status: JobStatus, report: str
) -> None:
    claim = claim_new()
    ask(claim.job.pk, actor="user:x")
    _WRITES[report](claim)
    assert Job.objects.get().status == status


def test_progress_is_kept_and_becomes_history_only_where_asked() -> None:
    claim = claim_new()
    _progress(claim)
    assert Job.objects.get().progress == {"current": 3, "total": 9, "unit": "step"}
    assert not JobEvent.objects.filter(type="toy.progress").exists()
    _progress(claim, as_event=True)
    assert JobEvent.objects.get(type="toy.progress").data["current"] == 3


def test_given_back_a_job_waits_again_under_a_new_fence_and_its_queue_is_rung() -> None:
    claim = claim_new()
    Outbox.objects.all().delete()
    job = _requeue(claim)
    assert (job.status, job.status_reason, job.fence) == (JobStatus.QUEUED, StatusReason.DRAINED, 2)
    assert (job.recoveries, job.lease_worker_id, job.lease_expires_at) == (0, None, None)
    assert Outbox.objects.get().payload["queue"] == TOY.queue
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.reason) == ("requeued", "drained")
    assert attempt.ended_at is not None
    again = claim_one()
    assert (again.job.pk, again.fence, again.attempt.number) == (job.pk, 3, 2)


def test_a_delayed_job_is_not_due_and_its_ring_comes_with_it() -> None:
    job = _requeue(claim_new(), delay_seconds=30)
    due_in = Job.objects.annotate(now=Now()).get(pk=job.pk)
    assert (due_in.run_at - due_in.now).total_seconds() == pytest.approx(30, abs=2)
    ring = Outbox.objects.latest("id")
    assert (ring.available_at - ring.created_at).total_seconds() == pytest.approx(30, abs=2)


def test_a_canceled_job_that_is_given_back_ends_canceled() -> None:
    claim = claim_new()
    request_cancel(claim.job.pk, actor="user:x", reason=StatusReason.ADMIN)
    job = _requeue(claim)
    assert (job.status, job.status_reason) == (JobStatus.CANCELED, StatusReason.ADMIN)
    assert Attempt.objects.get().outcome == "canceled"


def test_a_pausing_job_that_is_given_back_is_paused() -> None:
    claim = claim_new()
    request_pause(claim.job.pk, actor="user:x")
    assert _requeue(claim).status == JobStatus.PAUSED
    assert Attempt.objects.get().outcome == "paused"


@pytest.mark.parametrize("report", [claim_new, lambda: claim_new(labels={"b": "c"})])
def test_confirmed_cancel_ends_the_job_and_raises_the_fence(report: Callable[[], Claim]) -> None:
    claim = report()
    request_cancel(claim.job.pk, actor="user:x", reason=StatusReason.QUOTA)
    job = leases.confirm_canceled(claim.job, claim.fence, actor=claim.actor, exit_code=-15)
    assert (job.status, job.status_reason, job.fence) == (JobStatus.CANCELED, StatusReason.QUOTA, 2)
    assert job.finished_at is not None
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.exit_code) == ("canceled", -15)


def test_confirmed_pause_frees_the_worker() -> None:
    claim = claim_new()
    request_pause(claim.job.pk, actor="user:x")
    job = leases.confirm_paused(claim.job, claim.fence, actor=claim.actor)
    assert (job.status, job.lease_worker_id, job.finished_at) == (JobStatus.PAUSED, None, None)
    assert Attempt.objects.get().outcome == "paused"


def test_failing_keeps_what_a_person_needs() -> None:
    job = _fail(claim_new())
    assert (job.status, job.status_reason, job.error) == (JobStatus.FAILED, StatusReason.CODE_ERROR, _ERROR)
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.reason, attempt.exit_code) == ("failed", "code_error", 1)


def test_a_cancel_that_came_first_wins_over_a_failure() -> None:
    claim = claim_new()
    request_cancel(claim.job.pk, actor="user:x")
    job = _fail(claim)
    assert (job.status, job.error) == (JobStatus.CANCELED, None)
    assert Attempt.objects.get().outcome == "canceled"


def test_a_failure_while_pausing_is_a_failure() -> None:
    claim = claim_new()
    request_pause(claim.job.pk, actor="user:x")
    assert _fail(claim).status == JobStatus.FAILED


def test_recoveries_are_spent_one_by_one_with_growing_pauses_and_then_the_job_fails() -> None:
    job = claim_new().job
    _requeue(Claim(job, 1, Attempt.objects.get(), job.lease_worker))  # type: ignore[arg-type]  # it is leased
    pauses = []
    for spent in range(5):
        let_backoff_pass(job)
        queued = _recover(claim_one())
        assert (queued.status, queued.recoveries) == (JobStatus.QUEUED, spent + 1)
        pauses.append((queued.run_at - queued.queued_at).total_seconds())
    assert pauses == pytest.approx([0, 10, 20, 40, 80], abs=0.1)
    let_backoff_pass(job)
    failed = _recover(claim_one())
    assert (failed.status, failed.status_reason) == (JobStatus.FAILED, StatusReason.STORAGE_ERROR)
    assert (failed.error, failed.recoveries) == (_ERROR, 5)
    assert Attempt.objects.filter(outcome="failed", exit_code=69).count() == 1


def test_the_pause_before_another_run_is_capped_at_ten_minutes() -> None:
    assert [recovery_delay_seconds(spent) for spent in (0, 1, 2, 7, 50)] == [0, 10, 20, 600, 600]

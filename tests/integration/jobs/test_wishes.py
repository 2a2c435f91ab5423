"""Cancel, pause, resume, retry: from every status, by hand."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection

from aigc_platform.jobs.exceptions import (
    InvalidTransitionError,
    JobNotFoundError,
    NotResumableError,
)
from aigc_platform.jobs.leases import confirm_paused
from aigc_platform.jobs.models import Job, JobEvent, Outbox
from aigc_platform.jobs.services import (
    NUDGE_CHANNEL,
    request_cancel,
    request_pause,
    resume_job,
    retry_job,
)
from aigc_platform.jobs.states import LEASED, TERMINAL, DesiredState, JobStatus, StatusReason
from tests.factories.accounts import make_user
from tests.factories.jobs import RIGID, TOY, ToyKind, claim_new, claim_one, job_in, submit

pytestmark = pytest.mark.django_db


def _changes(job: Job, call: Callable[[UUID], Job]) -> tuple[Job, int]:
    """Return the job after the call and how many events it wrote."""
    before = JobEvent.objects.filter(job=job).count()
    call(job.pk)
    return Job.objects.get(pk=job.pk), JobEvent.objects.filter(job=job).count() - before


def _cancel(job_id: UUID) -> Job:
    return request_cancel(job_id, actor="user:x")


def _pause(job_id: UUID) -> Job:
    return request_pause(job_id, actor="user:x")


def _resume(job_id: UUID) -> Job:
    return resume_job(job_id, actor="user:x")


@pytest.mark.parametrize("status", JobStatus)
def test_cancel(status: JobStatus) -> None:
    job, events = _changes(job_in(status), _cancel)
    if status in TERMINAL or status is JobStatus.CANCELING:
        assert (job.status, events) == (status, 0)
        return
    expected = JobStatus.CANCELING if status in LEASED else JobStatus.CANCELED
    assert (job.status, job.status_reason, events) == (expected, StatusReason.USER, 1)
    assert job.desired == DesiredState.CANCEL
    assert (job.lease_worker_id is not None) is (status in LEASED)


@pytest.mark.parametrize("status", JobStatus)
def test_pause(status: JobStatus) -> None:
    job = job_in(status)
    if status in TERMINAL or status is JobStatus.CANCELING:
        with pytest.raises(InvalidTransitionError, match=status.value):
            _pause(job.pk)
        return
    job, events = _changes(job, _pause)
    if status in {JobStatus.PAUSED, JobStatus.PAUSING}:
        assert (job.status, events) == (status, 0)
        return
    expected = JobStatus.PAUSING if status in LEASED else JobStatus.PAUSED
    assert (job.status, job.desired, events) == (expected, DesiredState.PAUSE, 1)


@pytest.mark.parametrize("status", JobStatus)
def test_resume(status: JobStatus) -> None:
    job = job_in(status)
    if status in TERMINAL | {JobStatus.PAUSING, JobStatus.CANCELING}:
        with pytest.raises(InvalidTransitionError, match=status.value):
            _resume(job.pk)
        return
    Outbox.objects.all().delete()
    job, events = _changes(job, _resume)
    if status is not JobStatus.PAUSED:
        assert (job.status, events, Outbox.objects.count()) == (status, 0, 0)
        return
    assert (job.status, job.desired, events) == (JobStatus.QUEUED, DesiredState.RUN, 1)
    assert Outbox.objects.get().payload["queue"] == job.queue
    assert claim_one().job == job


@pytest.mark.parametrize("status", JobStatus)
def test_retry(status: JobStatus) -> None:
    job = job_in(status)
    owner = make_user()
    if status not in TERMINAL:
        with pytest.raises(InvalidTransitionError, match=status.value):
            retry_job(job.pk, actor_user=owner)
        assert Job.objects.count() == 1
        return
    new = retry_job(job.pk, actor_user=owner)
    assert (new.status, new.retried_from, new.owner) == (JobStatus.QUEUED, job, job.owner)
    assert (new.kind, new.spec, new.spec_sha256) == (job.kind, job.spec, job.spec_sha256)
    assert JobEvent.objects.get(job=new, type="toy.retry").data == {"retried_from": str(job.pk)}
    assert Job.objects.get(pk=job.pk).status == status


def test_a_retry_keeps_priority_labels_time_limit_and_group_but_no_idempotency_key() -> None:
    job = submit(
        priority=3,
        labels={"a": "b"},
        run_timeout_seconds=9,
        group_key="g",
        idempotency_key="k",
        request_sha256="r",
    )
    _cancel(job.pk)
    new = retry_job(job.pk, actor_user=job.owner)
    assert (new.priority, new.labels, new.run_timeout_seconds, new.group_key) == (3, {"a": "b"}, 9, "g")
    assert new.idempotency_key is None


def test_a_retry_without_its_event_does_not_exist() -> None:
    job = job_in(JobStatus.CANCELED)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE jobs_jobevent ADD CONSTRAINT no_retry CHECK (type <> 'toy.retry') NOT VALID"
        )
    with pytest.raises(IntegrityError, match="no_retry"):
        retry_job(job.pk, actor_user=job.owner)
    assert Job.objects.count() == 1


def test_a_running_job_that_keeps_no_checkpoints_cannot_be_paused_but_a_queued_one_can() -> None:
    running = claim_new(RIGID.name).job
    with pytest.raises(NotResumableError):
        _pause(running.pk)
    assert Job.objects.get(pk=running.pk).status == JobStatus.STARTING
    assert _pause(submit(kind=RIGID.name).pk).status == JobStatus.PAUSED


def test_a_cancel_overrides_a_pause_under_way() -> None:
    job = job_in(JobStatus.PAUSING)
    assert _cancel(job.pk).status == JobStatus.CANCELING


def test_pause_confirm_resume_goes_on_with_another_attempt() -> None:
    claim = claim_new()
    _pause(claim.job.pk)
    confirm_paused(claim.job, claim.fence, actor=claim.actor)
    _resume(claim.job.pk)
    again = claim_one()
    assert (again.job.pk, again.attempt.number, again.fence) == (claim.job.pk, 2, 3)


@pytest.mark.parametrize("call", [_cancel, _pause, _resume])
def test_a_job_that_does_not_exist_is_not_found(call: Callable[[UUID], Job]) -> None:
    with pytest.raises(JobNotFoundError):
        call(uuid4())
    with pytest.raises(JobNotFoundError):
        retry_job(uuid4(), actor_user=make_user())


@pytest.mark.parametrize(("kind", "ends"), [(TOY.name, 1), (RIGID.name, 1)])
def test_the_kind_hears_of_an_end_without_success_in_the_same_transaction(kind: str, ends: int) -> None:
    job = submit(kind=kind)
    _cancel(job.pk)
    assert ToyKind.ended_jobs.count((str(job.pk), "canceled")) == ends
    exploding = submit(kind=kind, labels={"explode": "at the end"})
    with pytest.raises(RuntimeError):
        _cancel(exploding.pk)
    assert Job.objects.get(pk=exploding.pk).status == JobStatus.QUEUED


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("call", [_cancel, _pause])
def test_the_holder_is_nudged_with_the_jobs_id_once_the_wish_is_committed(
    call: Callable[[UUID], Job],
) -> None:
    claim = claim_new()
    connection.ensure_connection()
    listener = connection.connection
    listener.execute(f'LISTEN "{NUDGE_CHANNEL}"')
    call(claim.job.pk)
    heard = [notification.payload for notification in listener.notifies(timeout=5, stop_after=1)]
    listener.execute("UNLISTEN *")
    assert heard == [str(claim.job.pk)]

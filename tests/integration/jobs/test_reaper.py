"""What the engine does when nobody else is there to do it."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from aigc_platform.jobs import reaper
from aigc_platform.jobs.leases import confirm_canceled, renew_lease, requeue
from aigc_platform.jobs.models import Attempt, Job, JobEvent, Outbox, Worker, WorkerState
from aigc_platform.jobs.services import request_cancel, request_pause
from aigc_platform.jobs.states import DesiredState, JobStatus, StatusReason
from tests.factories.jobs import (
    RIGID,
    TOY,
    claim_new,
    claim_one,
    let_backoff_pass,
    let_lease_expire,
    make_worker,
    submit,
)
from tests.integration.jobs.concurrency import at_once

pytestmark = pytest.mark.django_db


def test_a_live_lease_is_left_alone() -> None:
    claim_new()
    assert reaper.requeue_lost_jobs() == 0
    assert Job.objects.get().status == JobStatus.STARTING


def test_an_expired_lease_sends_the_job_back_to_its_queue_at_once_with_a_recovery_spent() -> None:
    claim = claim_new()
    let_lease_expire(claim)
    Outbox.objects.all().delete()
    assert reaper.requeue_lost_jobs() == 1
    job = Job.objects.get()
    assert (job.status, job.status_reason) == (JobStatus.QUEUED, StatusReason.WORKER_LOST)
    assert (job.recoveries, job.fence) == (1, 2)
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.reason) == ("lease_lost", "worker_lost")
    assert JobEvent.objects.latest("seq").actor == "engine"
    assert Outbox.objects.get().payload["queue"] == TOY.queue
    assert claim_one().job == job


def test_recoveries_run_out_and_the_job_fails_in_words() -> None:
    job = claim_new().job
    for _ in range(5):
        let_lease_expire_of(job)
        assert reaper.requeue_lost_jobs() == 1
        let_backoff_pass(job)
        claim_one()
    let_lease_expire_of(job)
    assert reaper.requeue_lost_jobs() == 1
    job.refresh_from_db()
    assert (job.status, job.status_reason) == (JobStatus.FAILED, StatusReason.WORKER_LOST)
    assert job.error == {
        "code": "job.worker_lost",
        "message": "The worker was lost 6 times while it ran this job.",
        "errors": [],
    }
    assert reaper.requeue_lost_jobs() == 0


def let_lease_expire_of(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_expires_at=Now() - timedelta(seconds=1))


def test_a_cancel_whose_worker_is_lost_is_confirmed() -> None:
    claim = claim_new()
    request_cancel(claim.job.pk, actor="user:x")
    let_lease_expire(claim)
    assert reaper.requeue_lost_jobs() == 1
    job = Job.objects.get()
    assert (job.status, job.status_reason, job.recoveries) == (JobStatus.CANCELED, StatusReason.USER, 0)
    assert Attempt.objects.get().outcome == "lease_lost"


def test_a_pause_whose_worker_is_lost_is_confirmed() -> None:
    claim = claim_new()
    request_pause(claim.job.pk, actor="user:x")
    let_lease_expire(claim)
    assert reaper.requeue_lost_jobs() == 1
    assert Job.objects.get().status == JobStatus.PAUSED


def test_one_job_that_cannot_be_settled_does_not_stop_the_others() -> None:
    stuck = claim_new(labels={"explode": "at the end"})
    Job.objects.filter(pk=stuck.job.pk).update(recoveries=5)
    let_lease_expire(stuck)
    others = [claim_new() for _ in range(3)]
    for other in others:
        let_lease_expire(other)
    assert reaper.requeue_lost_jobs() == 3
    assert Job.objects.filter(status=JobStatus.QUEUED).count() == 3
    assert Job.objects.get(pk=stuck.job.pk).status == JobStatus.STARTING


@pytest.mark.django_db(transaction=True)
def test_several_engines_at_once_take_each_lost_job_once() -> None:
    claims = [claim_new() for _ in range(12)]
    for claim in claims:
        let_lease_expire(claim)
    taken = at_once([reaper.requeue_lost_jobs] * 4)
    assert sum(count for count in taken if isinstance(count, int)) == 12
    assert set(Job.objects.values_list("fence", "recoveries", "status")) == {(2, 1, "queued")}
    assert JobEvent.objects.filter(type="toy.queued", actor="engine").count() == 12


def test_a_job_nobody_started_in_time_expires_waiting_or_paused() -> None:
    late, paused, early, free = (
        submit(start_within_seconds=5),
        submit(start_within_seconds=5),
        submit(start_within_seconds=500),
        submit(),
    )
    request_pause(paused.pk, actor="user:x")
    Job.objects.filter(pk__in=[late.pk, paused.pk]).update(start_deadline_at=Now() - timedelta(seconds=1))
    assert reaper.expire_late_starts() == 2
    statuses = dict(Job.objects.values_list("pk", "status"))
    assert statuses == {late.pk: "expired", paused.pk: "expired", early.pk: "queued", free.pk: "queued"}
    assert Job.objects.get(pk=late.pk).status_reason == StatusReason.DEADLINE


def test_one_job_whose_end_its_kind_cannot_cope_with_does_not_keep_others_from_expiring() -> None:
    stuck = submit(start_within_seconds=5, labels={"explode": "at the end"})
    other = submit(start_within_seconds=5)
    Job.objects.update(start_deadline_at=Now() - timedelta(seconds=1))
    assert reaper.expire_late_starts() == 1
    assert dict(Job.objects.values_list("pk", "status")) == {stuck.pk: "queued", other.pk: "expired"}


def test_a_job_that_has_started_once_no_longer_expires() -> None:
    claim = claim_new(start_within_seconds=5)
    requeue(claim.job, 1, actor="x", reason=StatusReason.DRAINED, spends_recovery=False)
    Job.objects.update(start_deadline_at=Now() - timedelta(seconds=1))
    assert reaper.expire_late_starts() == 0
    assert claim_one().job == claim.job


def test_silent_queues_with_due_jobs_are_rung_once_and_only_if_silent_at_the_broker() -> None:
    submit(kind=TOY.name)
    submit(kind=TOY.name)
    submit(kind=RIGID.name)
    assert reaper.ring_silent_queues() == 0, "both were rung by the submissions a moment ago"
    Outbox.objects.update(created_at=Now() - timedelta(minutes=1))
    assert reaper.ring_silent_queues() == 0, "the rings still wait for the broker to come back"
    Outbox.objects.update(published_at=Now())
    assert reaper.ring_silent_queues() == 2
    rings = Outbox.objects.order_by("id")[3:]
    assert sorted(ring.payload["queue"] for ring in rings) == sorted([TOY.queue, RIGID.queue])
    assert all(ring.payload["only_if_silent"] for ring in rings)
    assert reaper.ring_silent_queues() == 0


def test_a_queue_whose_jobs_are_not_due_or_not_waiting_is_not_rung() -> None:
    later = submit()
    Job.objects.filter(pk=later.pk).update(run_at=Now() + timedelta(hours=1))
    claim_new(RIGID.name)
    Outbox.objects.all().delete()
    assert reaper.ring_silent_queues() == 0


def test_a_ring_that_is_still_to_come_does_not_count_as_rung() -> None:
    requeue(
        claim_new().job, 1, actor="x", reason=StatusReason.WORKER_LOST, delay_seconds=60, spends_recovery=True
    )
    Outbox.objects.filter(available_at__lte=Now()).delete()
    submit()
    Outbox.objects.filter(available_at__lte=Now()).delete()
    assert reaper.ring_silent_queues() == 1


@pytest.mark.django_db(transaction=True)
def test_several_engines_at_once_ring_a_silent_queue_once() -> None:
    submit()
    Outbox.objects.all().delete()
    at_once([reaper.ring_silent_queues] * 6)
    assert Outbox.objects.count() == 1


def test_workers_that_have_not_beaten_for_two_leases_are_gone() -> None:
    silent, alive = make_worker(), make_worker()
    Worker.objects.filter(pk=silent.pk).update(last_beat_at=Now() - timedelta(seconds=121))
    Worker.objects.filter(pk=alive.pk).update(last_beat_at=Now() - timedelta(seconds=100))
    assert reaper.retire_lost_workers() == 1
    states = dict(Worker.objects.values_list("pk", "state"))
    assert states == {silent.pk: WorkerState.GONE, alive.pk: WorkerState.READY}
    assert reaper.retire_lost_workers() == 0


def test_sent_outbox_rows_are_deleted_after_an_hour_and_unsent_ones_never() -> None:
    for _ in range(3):
        submit()
    sent_long_ago, sent, unsent = Outbox.objects.order_by("id")
    long_ago = Now() - timedelta(hours=2)
    Outbox.objects.filter(pk=sent_long_ago.pk).update(created_at=long_ago, published_at=long_ago)
    Outbox.objects.filter(pk=sent.pk).update(published_at=Now())
    Outbox.objects.filter(pk=unsent.pk).update(created_at=long_ago)
    assert reaper.delete_old_outbox_rows() == 1
    assert set(Outbox.objects.all()) == {sent, unsent}


def _let_attempt_have_run(job: Job, seconds: float) -> None:
    Attempt.objects.filter(job=job, ended_at__isnull=True).update(
        started_at=Now() - timedelta(seconds=seconds)
    )


def test_a_job_that_runs_too_long_is_stopped_and_fails_with_reason_deadline() -> None:
    overdue, in_time, unlimited = (
        claim_new(run_timeout_seconds=60),
        claim_new(run_timeout_seconds=60),
        claim_new(),
    )
    for claim, seconds in ((overdue, 61), (in_time, 30), (unlimited, 10_000)):
        _let_attempt_have_run(claim.job, seconds)
    assert reaper.stop_overdue_jobs() == 1
    assert reaper.stop_overdue_jobs() == 0
    assert renew_lease(overdue.job, overdue.fence) is DesiredState.CANCEL
    job = confirm_canceled(overdue.job, overdue.fence, actor=overdue.actor)
    assert (job.status, job.status_reason) == (JobStatus.FAILED, StatusReason.DEADLINE)
    assert job.error is not None
    assert job.error["message"] == "The job ran longer than the 60 s it was given."
    statuses = set(Job.objects.exclude(pk=job.pk).values_list("status", flat=True))
    assert statuses == {JobStatus.STARTING}


def test_the_time_of_all_attempts_counts_and_that_of_waiting_does_not() -> None:
    claim = claim_new(run_timeout_seconds=60)
    _let_attempt_have_run(claim.job, 40)
    requeue(claim.job, 1, actor="x", reason=StatusReason.DRAINED, spends_recovery=False)
    Attempt.objects.update(
        ended_at=F("ended_at") - timedelta(hours=1), started_at=F("started_at") - timedelta(hours=1)
    )
    claim_one()
    _let_attempt_have_run(claim.job, 15)
    assert reaper.stop_overdue_jobs() == 0
    _let_attempt_have_run(claim.job, 25)
    assert reaper.stop_overdue_jobs() == 1


def test_an_overdue_job_whose_worker_is_lost_fails_with_reason_deadline_too() -> None:
    claim = claim_new(run_timeout_seconds=60)
    _let_attempt_have_run(claim.job, 61)
    reaper.stop_overdue_jobs()
    let_lease_expire(claim)
    reaper.requeue_lost_jobs()
    job = Job.objects.get()
    assert (job.status, job.status_reason) == (JobStatus.FAILED, StatusReason.DEADLINE)

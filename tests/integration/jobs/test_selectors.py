"""What people see of jobs: their own alone, in order, and why a job waits."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from aigc_platform.jobs.exceptions import JobNotFoundError
from aigc_platform.jobs.fleet import beat, retire_worker
from aigc_platform.jobs.leases import requeue
from aigc_platform.jobs.models import Job, Worker, WorkerState
from aigc_platform.jobs.selectors import events_after, get_job, jobs_of, live_workers, queue_place
from aigc_platform.jobs.states import StatusReason
from tests.factories.accounts import make_user
from tests.factories.jobs import RIGID, TOY, claim_new, make_worker, submit

pytestmark = pytest.mark.django_db


def test_jobs_belong_to_their_owner() -> None:
    owner, stranger = make_user(), make_user()
    job = submit(owner)
    assert list(jobs_of(owner)) == [job]
    assert list(jobs_of(stranger)) == []
    assert get_job(owner, job.pk) == job
    with pytest.raises(JobNotFoundError):
        get_job(stranger, job.pk)


def test_history_goes_on_after_a_number() -> None:
    claim = claim_new()
    assert [event.seq for event in events_after(claim.job)] == [1, 2]
    assert [event.seq for event in events_after(claim.job, 1)] == [2]
    assert list(events_after(claim.job, 2)) == []


def test_a_place_counts_the_due_jobs_before_it_in_its_own_queue() -> None:
    worker = make_worker()
    beat(worker, WorkerState.BUSY)
    first, second, urgent, elsewhere = (
        submit(),
        submit(),
        submit(priority=1),
        submit(kind=RIGID.name, priority=9),
    )
    places = [queue_place(job) for job in (urgent, first, second, elsewhere)]
    assert [place.position for place in places] == [1, 2, 3, 1]
    assert all(place.reasons == ["workers_busy"] for place in places)


def test_a_job_that_does_not_wait_has_no_place() -> None:
    place = queue_place(Job.objects.get(pk=claim_new().job.pk))
    assert (place.position, place.reasons) == (None, [])


def test_why_a_job_waits() -> None:
    job = submit()
    assert queue_place(job).reasons == ["no_worker"]
    make_worker(RIGID.queue)
    assert queue_place(job).reasons == ["no_worker"]
    worker = make_worker(TOY.queue)
    assert queue_place(job).reasons == []
    beat(worker, WorkerState.BUSY)
    assert queue_place(job).reasons == ["workers_busy"]
    Job.objects.filter(pk=job.pk).update(run_at=Now() + timedelta(hours=1))
    assert queue_place(job).reasons == ["scheduled"]


def test_a_job_that_waits_for_its_next_try_says_so() -> None:
    claim = claim_new()
    job = requeue(
        claim.job,
        1,
        actor="engine",
        reason=StatusReason.WORKER_LOST,
        delay_seconds=20,
        spends_recovery=True,
    )
    assert queue_place(job).reasons == ["backoff"]


def test_a_worker_lives_while_it_beats_and_until_it_retires() -> None:
    silent, retired, alive = (make_worker() for _ in range(3))
    Worker.objects.filter(pk=silent.pk).update(last_beat_at=Now() - timedelta(seconds=61))
    retire_worker(retired)
    assert list(live_workers()) == [alive]
    beat(silent, WorkerState.READY)
    assert set(live_workers()) == {alive, silent}

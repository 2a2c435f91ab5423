"""Submitting: durable in one transaction, once per key."""

import pytest
from django.db import IntegrityError, connection

from aigc_platform.jobs.exceptions import IdempotencyMismatchError
from aigc_platform.jobs.models import Job, JobEvent, Outbox, OwnerShare
from aigc_platform.jobs.outbox import RING
from aigc_platform.jobs.services import spec_sha256
from aigc_platform.jobs.states import DesiredState, JobStatus
from tests.factories.accounts import make_user
from tests.factories.jobs import TOY, submit
from tests.integration.jobs.concurrency import at_once


@pytest.mark.django_db
def test_a_submission_is_a_queued_job_its_first_event_and_one_ring_for_its_queue() -> None:
    owner = make_user()
    job = submit(owner, steps=3, priority=2, labels={"a": "b"}, run_timeout_seconds=60)

    assert (job.status, job.desired, job.fence) == (JobStatus.QUEUED, DesiredState.RUN, 0)
    assert (job.owner, job.kind, job.queue) == (owner, TOY.name, TOY.queue)
    assert (job.spec, job.spec_sha256) == ({"steps": 3}, spec_sha256({"steps": 3}))
    assert (job.priority, job.labels, job.run_timeout_seconds) == (2, {"a": "b"}, 60)
    [event] = JobEvent.objects.all()
    assert (event.job_id, event.seq, event.type, event.actor) == (job.pk, 1, "toy.queued", f"user:{owner.pk}")
    assert event.data == {"spec_sha256": job.spec_sha256}
    [ring] = Outbox.objects.all()
    assert (ring.topic, ring.published_at) == (RING, None)
    assert ring.payload["queue"] == TOY.queue
    assert str(job.pk) not in str(ring.payload)


@pytest.mark.django_db
def test_a_time_to_start_counts_from_now_by_the_databases_clock() -> None:
    job = submit(start_within_seconds=90)
    assert job.start_deadline_at is not None
    assert (job.start_deadline_at - job.created_at).total_seconds() == pytest.approx(90, abs=1)
    assert submit().start_deadline_at is None


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["jobs_jobevent", "jobs_outbox"])
def test_all_or_nothing_a_refused_event_or_ring_takes_the_job_with_it(table: str) -> None:
    owner = make_user()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT refuse_all CHECK (false) NOT VALID")
    with pytest.raises(IntegrityError, match="refuse_all"):
        submit(owner)
    assert not Job.objects.filter(owner=owner).exists()
    assert not JobEvent.objects.exists()
    assert not Outbox.objects.exists()
    assert not OwnerShare.objects.exists()


@pytest.mark.django_db
def test_the_same_key_and_request_give_the_first_job_again_and_write_nothing() -> None:
    owner = make_user()
    first = submit(owner, idempotency_key="k", request_sha256="r")
    again = submit(owner, idempotency_key="k", request_sha256="r")
    assert again.pk == first.pk
    assert (Job.objects.count(), JobEvent.objects.count(), Outbox.objects.count()) == (1, 1, 1)


@pytest.mark.django_db
def test_the_same_key_with_another_request_is_refused() -> None:
    owner = make_user()
    submit(owner, idempotency_key="k", request_sha256="r")
    with pytest.raises(IdempotencyMismatchError):
        submit(owner, idempotency_key="k", request_sha256="other")
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_keys_belong_to_their_owner_and_no_key_means_no_replay() -> None:
    owner = make_user()
    jobs = [
        submit(owner, idempotency_key="k", request_sha256="r"),
        submit(make_user(), idempotency_key="k", request_sha256="r"),
        submit(owner),
        submit(owner),
    ]
    assert len({job.pk for job in jobs}) == 4


@pytest.mark.django_db(transaction=True)
def test_twenty_requests_at_once_with_one_key_make_one_job() -> None:
    owner = make_user()

    def request() -> Job:
        return submit(owner, idempotency_key="k", request_sha256="r")

    answers = at_once([request] * 20)
    assert {answer.pk if isinstance(answer, Job) else answer for answer in answers} == {Job.objects.get().pk}
    assert len(answers) == 20
    assert (JobEvent.objects.count(), Outbox.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_of_two_different_requests_at_once_with_one_key_one_is_refused() -> None:
    owner = make_user()
    answers = at_once(
        [
            lambda: submit(owner, idempotency_key="k", request_sha256="one"),
            lambda: submit(owner, idempotency_key="k", request_sha256="two"),
        ]
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["IdempotencyMismatchError", "Job"]
    assert Job.objects.count() == 1

"""Claiming: who is next, under one lock, exactly once."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from aigc_platform.accounts.models import User
from aigc_platform.jobs.claim import Claim, claim_jobs
from aigc_platform.jobs.models import Attempt, Job, JobEvent, OwnerShare
from aigc_platform.jobs.services import request_cancel, request_pause
from aigc_platform.jobs.states import JobStatus
from tests.factories.accounts import make_user
from tests.factories.jobs import RIGID, TOY, claim_one, make_worker, submit
from tests.integration.jobs.concurrency import at_once


def _claim_all(count: int, *queues: str) -> list[Job]:
    worker = make_worker(*queues)
    return [claim_one(worker).job for _ in range(count)]


@pytest.mark.django_db
def test_a_claim_is_a_new_fence_a_lease_by_the_databases_clock_and_an_attempt() -> None:
    job = submit()
    worker = make_worker()
    [claim] = claim_jobs(worker, device="cpu")

    held = Job.objects.get()
    assert claim.job == held == job
    assert (held.status, held.fence, held.attempt_count) == (JobStatus.STARTING, 1, 1)
    assert (held.lease_worker, claim.fence) == (worker, 1)
    attempt = Attempt.objects.get()
    assert (attempt.number, attempt.fence, attempt.worker, attempt.device) == (1, 1, worker, "cpu")
    assert (attempt.ended_at, attempt.outcome) == (None, "")
    left = Job.objects.annotate(now=Now()).get()
    assert left.lease_expires_at is not None
    assert timedelta(seconds=58) < left.lease_expires_at - left.now <= timedelta(seconds=60)
    event = JobEvent.objects.get(seq=2)
    assert (event.type, event.actor) == ("toy.starting", f"worker:{worker.name}")
    assert event.data == {
        "from": "queued",
        "to": "starting",
        "reason": "",
        "fence": 1,
        "attempt": 1,
        "worker": worker.name,
    }


@pytest.mark.django_db
def test_an_empty_queue_gives_nothing() -> None:
    assert claim_jobs(make_worker()) == []


@pytest.mark.django_db
def test_higher_priority_goes_first_then_the_longer_wait() -> None:
    owner = make_user()
    later, first, urgent = (submit(owner), submit(owner), submit(owner, priority=5))
    Job.objects.filter(pk=first.pk).update(run_at=Now() - timedelta(minutes=1))
    assert _claim_all(3) == [urgent, first, later]


@pytest.mark.django_db
def test_priority_counts_before_fair_share() -> None:
    busy, idle = make_user(), make_user()
    submit(busy)
    claim_one()
    waiting, urgent = submit(idle), submit(busy, priority=1)
    assert _claim_all(2) == [urgent, waiting]


@pytest.mark.django_db
def test_an_owner_with_one_job_waits_one_turn_not_behind_the_crowd_of_another() -> None:
    many, one = make_user(), make_user()
    crowd = [submit(many) for _ in range(6)]
    assert _claim_all(1) == [crowd[0]]
    single = submit(one)
    assert single in _claim_all(2)


@pytest.mark.django_db
def test_three_owners_with_equal_queues_are_served_equally() -> None:
    owners = [make_user() for _ in range(3)]
    for owner in owners:
        for _ in range(4):
            submit(owner)
    served = [job.owner_id for job in _claim_all(9)]
    assert set(Counter(served).values()) == {3}
    assert all(len(set(served[start : start + 3])) == 3 for start in (0, 3, 6))


@pytest.mark.django_db
def test_a_job_is_not_claimed_before_its_time() -> None:
    job = submit()
    Job.objects.filter(pk=job.pk).update(run_at=Now() + timedelta(hours=1))
    assert claim_jobs(make_worker()) == []
    Job.objects.filter(pk=job.pk).update(run_at=Now())
    assert claim_one().job == job


@pytest.mark.django_db
def test_a_job_that_should_have_started_by_now_is_not_started() -> None:
    job = submit(start_within_seconds=60)
    Job.objects.filter(pk=job.pk).update(start_deadline_at=Now() - timedelta(seconds=1))
    assert claim_jobs(make_worker()) == []


@pytest.mark.django_db
def test_a_worker_claims_from_its_own_queues_only() -> None:
    toy, rigid = submit(kind=TOY.name), submit(kind=RIGID.name)
    assert claim_jobs(make_worker("gpu.sample")) == []
    assert claim_one(make_worker(RIGID.queue)).job == rigid
    assert claim_one(make_worker(TOY.queue)).job == toy


@pytest.mark.django_db
@pytest.mark.parametrize("ask", [request_cancel, request_pause])
def test_what_its_owner_stopped_is_not_claimed(ask: object) -> None:
    job = submit()
    assert callable(ask)
    ask(job.pk, actor="user:x")
    assert claim_jobs(make_worker()) == []


@pytest.mark.django_db
def test_a_group_shares_kind_and_key_stays_within_its_limit_and_each_has_a_fence_of_its_own() -> None:
    owner = make_user()
    group = [submit(owner, group_key="model-1") for _ in range(6)]
    submit(owner, group_key="model-2")
    submit(owner)
    worker = make_worker()
    claims = claim_jobs(worker)
    assert [claim.job for claim in claims] == group[:4]
    assert Attempt.objects.filter(fence=1, number=1, worker=worker).count() == 4
    assert [claim.job for claim in claim_jobs(worker)] == group[4:]


@pytest.mark.django_db
def test_a_group_leaves_out_what_is_not_due_and_what_another_holds() -> None:
    first, other, later = (submit(group_key="m") for _ in range(3))
    Job.objects.filter(pk=later.pk).update(run_at=Now() + timedelta(hours=1))
    assert {claim.job for claim in claim_jobs(make_worker())} == {first, other}


@pytest.mark.django_db
def test_kinds_that_work_alone_ignore_group_keys() -> None:
    for _ in range(2):
        submit(kind=RIGID.name, group_key="m")
    assert len(claim_jobs(make_worker())) == 1


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_claim_each_job_exactly_once() -> None:
    for _ in range(5):
        owner = make_user()
        for _ in range(12):
            submit(owner)

    def claim_until_empty(name: str) -> list[Claim]:
        worker = make_worker(name=name)
        mine: list[Claim] = []
        while claims := claim_jobs(worker):
            mine += claims
        return mine

    results = at_once([lambda name=f"racer-{number}": claim_until_empty(name) for number in range(12)])  # type: ignore[misc]  # mypy cannot type defaults
    claimed = [claim.job.pk for mine in results if isinstance(mine, list) for claim in mine]
    assert len(claimed) == len(set(claimed)) == 60
    assert Attempt.objects.count() == 60
    assert set(Job.objects.values_list("status", "fence", "attempt_count")) == {("starting", 1, 1)}


@pytest.mark.django_db(transaction=True)
def test_as_many_workers_as_jobs_of_one_owner_all_get_one_at_the_first_try() -> None:
    owner = make_user()
    for _ in range(16):
        submit(owner)
    workers = [make_worker() for _ in range(16)]
    results = at_once([lambda worker=worker: claim_jobs(worker) for worker in workers])  # type: ignore[misc]  # mypy cannot type defaults
    assert [len(result) if isinstance(result, list) else result for result in results] == [1] * 16


@pytest.mark.django_db(transaction=True)
def test_groups_of_several_owners_claimed_at_once_do_not_deadlock() -> None:
    owners = [make_user() for _ in range(4)]
    for round_number in range(12):
        # The owners in another order each time, so that locks taken in claim order would cross.
        for owner in owners[round_number % 4 :] + owners[: round_number % 4]:
            submit(owner, group_key=f"model-{round_number}")
    workers = [make_worker() for _ in range(8)]

    def claim_until_empty(worker_index: int) -> Sequence[Claim]:
        mine: list[Claim] = []
        while claims := claim_jobs(workers[worker_index]):
            mine += claims
        return mine

    results = at_once([lambda index=index: claim_until_empty(index) for index in range(8)])  # type: ignore[misc]  # mypy cannot type defaults
    assert [result for result in results if isinstance(result, Exception)] == []
    assert Attempt.objects.count() == 48


@pytest.mark.django_db(transaction=True)
def test_a_row_that_another_transaction_holds_is_passed_over_without_waiting() -> None:
    owner = make_user()
    held, free = submit(owner), submit(owner)

    def claim_while_held() -> list[Claim]:
        return claim_jobs(make_worker())

    with transaction.atomic():
        Job.objects.select_for_update().get(pk=held.pk)
        [result] = at_once([claim_while_held])
    assert isinstance(result, list)
    assert [claim.job for claim in result] == [free]


@pytest.mark.django_db
def test_a_claim_notes_when_its_owner_was_served() -> None:
    owner: User = make_user()
    submit(owner)
    before = OwnerShare.objects.get(owner=owner).served_at
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.002)")
    claim_one()
    assert OwnerShare.objects.get(owner=owner).served_at > before

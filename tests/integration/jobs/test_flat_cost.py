"""Claiming, submitting, listing and reaping touch as many rows with 10,000 waiting jobs as with 100.

PostgreSQL counts the rows that a transaction reads, so this needs no clock. `benchmarks/` measures the time.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from aigc_platform.accounts.models import User
from aigc_platform.jobs import reaper
from aigc_platform.jobs.claim import claim_jobs
from aigc_platform.jobs.depth import count_queues
from aigc_platform.jobs.models import Job, Outbox, QueueDepth, Worker
from aigc_platform.jobs.selectors import jobs_of
from tests.factories.accounts import make_user
from tests.factories.jobs import claim_new, let_lease_expire, make_worker, submit

pytestmark = pytest.mark.django_db

_OWNERS = 50
_FEW, _MANY = 100, 10_000

# Copies one job; a tenth of the copies waits for its time, and all kinds of priority occur.
_COPY = """
INSERT INTO jobs_job (id, owner_id, kind, queue, spec, spec_sha256, request_sha256, group_key, status, status_reason,
  desired, priority, labels, run_at, fence, attempt_count, recoveries, max_recoveries, event_seq, progress, created_at,
  queued_at, deletion_requested_by)
SELECT gen_random_uuid(), %(owner)s, kind, queue, spec, spec_sha256, '', '', status, '', desired, number %% 5, labels,
  now() - interval '1 hour' + number * interval '1 second'
    + CASE WHEN number %% 10 = 0 THEN interval '1 day' ELSE interval '0' END,
  0, 0, 0, max_recoveries, 1, progress, now() - interval '1 hour' + number * interval '1 millisecond', now(), ''
FROM jobs_job, generate_series(1, %(count)s) AS number WHERE id = %(job)s
"""

_ROWS_READ = """
SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)
FROM pg_stat_xact_user_tables WHERE relname LIKE 'jobs_%'
"""


class _Load:
    """Owners with equally many waiting jobs, one worker, and one lost job for the reaper."""

    def __init__(self) -> None:
        self.worker: Worker = make_worker()
        self.owners: list[User] = [make_user() for _ in range(_OWNERS)]
        lost = claim_new()
        self.samples = [submit(owner) for owner in self.owners]
        let_lease_expire(lost)

    def grow_to(self, count: int) -> None:
        missing = count - Job.objects.filter(status="queued").count()
        with connection.cursor() as cursor:
            for sample in self.samples:
                cursor.execute(
                    _COPY, {"owner": sample.owner_id, "job": sample.pk, "count": missing // _OWNERS}
                )
            # As many rings as a busy hour leaves behind.
            cursor.execute(
                "INSERT INTO jobs_outbox (topic, payload, created_at, available_at, tries, published_at) "
                "SELECT 'ring', '{\"queue\": \"cpu.io\"}', now() - interval '5 minutes', now(), 1, now() "
                "FROM generate_series(1, %s)",
                [missing],
            )
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ANALYZE jobs_job, jobs_outbox, jobs_ownershare")
        # As the engine does every ten seconds: what the submissions' limit is judged by.
        QueueDepth.objects.all().delete()
        count_queues()


def _rows_read() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_ROWS_READ)
        return int(cursor.fetchone()[0])


def _cost(act: Callable[[], object]) -> int:
    before = _rows_read()
    act()
    return _rows_read() - before


def _reap() -> None:
    reaper.expire_late_starts()
    Outbox.objects.filter(created_at__gte=Now() - timedelta(minutes=1)).update(
        created_at=Now() - timedelta(minutes=2), published_at=Now()
    )
    assert reaper.ring_silent_queues() == 1
    reaper.delete_old_outbox_rows()


def _costs(load: _Load) -> dict[str, int]:
    owner = load.owners[0]
    newest = jobs_of(owner).order_by("-created_at", "-id")
    costs = {
        "claim": _cost(lambda: claim_jobs(load.worker)),
        "submit": _cost(lambda: submit(owner, idempotency_key=str(Job.objects.order_by("id").last()))),
        # Two jobs are all that an owner has in the small case.
        "list": _cost(lambda: list(newest[:2])),
        "reap": _cost(_reap),
    }
    lost = Job.objects.get(status="starting", lease_expires_at__gt=Now())
    Job.objects.filter(pk=lost.pk).update(lease_expires_at=Now() - timedelta(seconds=1))
    costs["take a lost job"] = _cost(reaper.requeue_lost_jobs)
    return costs


def test_rows_read_do_not_grow_with_the_queue() -> None:
    with connection.cursor() as cursor:
        # A table of a hundred rows is read whole for want of anything better; the comparison would flatter us.
        cursor.execute("SET LOCAL enable_seqscan = off")
    load = _Load()
    reaper.requeue_lost_jobs()
    load.grow_to(_FEW)
    few = _costs(load)
    load.grow_to(_MANY)
    assert Job.objects.filter(status="queued").count() >= _MANY * 0.99
    many = _costs(load)
    allowed = {name: cost * 1.2 + 5 for name, cost in few.items()}
    assert {name: cost for name, cost in many.items() if cost > allowed[name]} == {}, f"{few} → {many}"
    assert all(cost > 0 for cost in many.values())

"""The jobs of a group are written together: what they cost does not grow with their number, and each keeps its fate."""

import select
import threading
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from aigc_platform.jobs.claim import Claim, claim_jobs
from aigc_platform.jobs.leases import requeue
from aigc_platform.jobs.models import Attempt, Job, JobEvent
from aigc_platform.jobs.services import request_cancel
from aigc_platform.jobs.states import StatusReason
from aigc_platform.storage.object_store import get_object_store
from tests.factories.accounts import make_user
from tests.factories.jobs import TOY, make_worker, submit
from workers.attempt import AttemptRun, advance
from workers.bell import Bell
from workers.heart import Pulse
from workers.publishing import Publisher
from workers.runner.protocol import CheckpointReady
from workers.workspace import Workspace

pytestmark = pytest.mark.django_db

_CLAIM = 8
"""Statements: whose turn, the job, its group, UPDATE, events, listeners, attempts, the owner's share."""
_RUN = 11
"""Statements: to `running` 5 (lock, attempts, UPDATE, events, listeners), to `succeeded` as many; one to spare."""


def _claim_group(size: int) -> list[Claim]:
    owner = make_user()
    for _ in range(size):
        submit(owner, group_key="g")
    claims = claim_jobs(make_worker(TOY.queue))
    assert len(claims) == size
    return claims


def _runs(claims: list[Claim], folder: Path) -> list[AttemptRun]:
    publisher = Publisher(get_object_store(), Bell())
    return [
        AttemptRun(claim, Pulse(claim), Workspace(folder, claim.job.pk, claim.fence), publisher)
        for claim in claims
    ]


def _finish(runs: list[AttemptRun]) -> None:
    for run in runs:
        run.note_running("cpu", 4242)
        run.take_result({})
    advance(runs, _no_checkpoint)


def _no_checkpoint(_checkpoint: CheckpointReady, _committed: bool) -> None:
    raise AssertionError("there was no checkpoint")


def _statements(captured: CaptureQueriesContext) -> int:
    """Count them without the savepoints, which stand for the transactions that a test cannot have."""
    return sum("SAVEPOINT" not in query["sql"] for query in captured.captured_queries)


@pytest.mark.parametrize("size", [1, TOY.max_group])
def test_a_group_costs_as_many_statements_as_one_job(size: int, tmp_path: Path) -> None:
    owner = make_user()
    for _ in range(size):
        submit(owner, group_key="g")
    worker = make_worker(TOY.queue)
    with CaptureQueriesContext(connection) as claiming:
        claims = claim_jobs(worker)
    assert len(claims) == size
    runs = _runs(claims, tmp_path)
    with CaptureQueriesContext(connection) as running:
        _finish(runs)

    assert all(run.has_ended for run in runs)
    assert _statements(claiming) <= _CLAIM
    assert _statements(running) <= _RUN


def test_each_job_of_a_group_has_its_own_history_attempt_and_output(tmp_path: Path) -> None:
    claims = _claim_group(3)
    _finish(_runs(claims, tmp_path))
    for claim in claims:
        events = JobEvent.objects.filter(job=claim.job)
        assert [(event.seq, event.type) for event in events] == [
            (1, "toy.queued"), (2, "toy.starting"), (3, "toy.running"), (4, "toy.succeeded"),
        ]  # fmt: skip
        attempt = Attempt.objects.get(job=claim.job)
        assert (attempt.outcome, attempt.device, attempt.runner_pid) == ("succeeded", "cpu", 4242)
        job = Job.objects.get(pk=claim.job.pk)
        assert (job.status, job.fence, job.output) == ("succeeded", 2, {"steps": 1, "files": []})
        assert job.started_at is not None
    assert Job.objects.filter(lease_worker__isnull=False).count() == 0


def test_a_canceled_and_a_lost_job_of_a_group_do_not_hold_the_others_up(tmp_path: Path) -> None:
    canceled, lost, fine, also_fine = _claim_group(4)
    runs = _runs([canceled, lost, fine, also_fine], tmp_path)
    for run in runs:
        run.note_running("cpu", 4242)
    advance(runs, _no_checkpoint)
    request_cancel(canceled.job.pk, actor="test")
    requeue(lost.job, lost.fence, actor="engine", reason=StatusReason.WORKER_LOST, spends_recovery=True)
    for run in runs:
        run.take_result({})
    advance(runs, _no_checkpoint)

    assert all(run.has_ended for run in runs)
    statuses = [Job.objects.get(pk=claim.job.pk).status for claim in (canceled, lost, fine, also_fine)]
    assert statuses == ["canceled", "queued", "succeeded", "succeeded"]
    assert [run.stop_cause for run in runs] == [None, "lost", None, None]


def test_a_bell_wakes_who_waits_until_it_is_hushed() -> None:
    bell = Bell()
    threading.Timer(0.05, bell.ring).start()
    assert _is_rung_within(bell, 30)
    bell.hush()
    assert not _is_rung_within(bell, 0)
    bell.hush()


def _is_rung_within(bell: Bell, seconds: float) -> bool:
    return bool(select.select([bell], [], [], seconds)[0])

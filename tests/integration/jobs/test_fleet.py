"""Workers' rows and what becomes of a dead worker's jobs."""

import os
import subprocess
import sys

import pytest

from aigc_platform.common.host import is_dead, this_process
from aigc_platform.jobs import fleet
from aigc_platform.jobs.claim import Claim, claim_jobs
from aigc_platform.jobs.models import Attempt, Job, Worker, WorkerState
from aigc_platform.jobs.services import request_cancel
from aigc_platform.jobs.states import JobStatus, StatusReason
from tests.factories.jobs import TOY, claim_one, complete, submit

pytestmark = pytest.mark.django_db


def _worker_of(pid: int, started: int, *, host: str | None = None, place: str | None = None) -> Worker:
    here = this_process()
    return fleet.register_worker(
        name=f"worker-{pid}",
        host=host or here.host,
        boot_id=place or here.place,
        pid=pid,
        pid_started=started,
        devices=[],
        queues=[TOY.queue],
    )


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _claim_with(worker: Worker) -> Claim:
    submit()
    [claim] = claim_jobs(worker)
    return claim


def test_a_process_is_alive_dead_or_another_with_its_pid() -> None:
    me = this_process()
    assert me.started > 0
    assert not is_dead(me.pid, me.started)
    assert is_dead(me.pid, me.started - 1), "the pid is used again"
    assert is_dead(_dead_pid(), me.started)


def test_a_zombie_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(process.pid, 0)
    process.wait()


def test_the_jobs_of_a_dead_neighbour_wait_again_at_once() -> None:
    dead = _worker_of(_dead_pid(), 5)
    claim = _claim_with(dead)
    assert fleet.bury_dead_workers(actor="engine") == 1
    job = Job.objects.get()
    assert (job.status, job.status_reason, job.recoveries) == (
        JobStatus.QUEUED,
        StatusReason.WORKER_LOST,
        1,
    )
    assert Attempt.objects.get().outcome == "lease_lost"
    assert Worker.objects.get(pk=dead.pk).state == WorkerState.GONE
    assert fleet.bury_dead_workers(actor="engine") == 0
    assert claim_one().job == claim.job


def test_a_dead_neighbours_canceled_job_is_canceled() -> None:
    claim = _claim_with(_worker_of(_dead_pid(), 5))
    request_cancel(claim.job.pk, actor="user:x")
    fleet.bury_dead_workers(actor="engine")
    assert Job.objects.get().status == JobStatus.CANCELED


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"place": "another boot/1"}])
def test_the_living_and_those_out_of_sight_are_left_alone(elsewhere: dict[str, str]) -> None:
    me = this_process()
    _claim_with(_worker_of(me.pid, me.started))
    _claim_with(_worker_of(_dead_pid(), 5, **elsewhere))
    assert fleet.bury_dead_workers(actor="engine") == 0
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.STARTING}


def test_what_a_worker_does_not_know_that_it_holds_it_gives_back_for_free() -> None:
    me = this_process()
    worker = _worker_of(me.pid, me.started)
    done = _claim_with(worker)
    complete(done)
    _claim_with(worker)
    assert fleet.give_back_all(worker) == 1
    job = Job.objects.exclude(pk=done.job.pk).get()
    assert (job.status, job.recoveries, job.fence) == (JobStatus.QUEUED, 0, 2)

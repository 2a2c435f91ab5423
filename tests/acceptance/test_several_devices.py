"""A worker whose trainings are shared out to two processes of the processor, one of which dies."""

import psutil
import pytest

from aigc_platform.accounts.models import User
from aigc_platform.jobs.models import Attempt, Checkpoint, Job, JobEvent, Worker
from aigc_platform.jobs.services import request_cancel
from aigc_platform.jobs.states import JobStatus
from tests.acceptance.test_lost_worker import LONG_KIMG
from tests.acceptance.test_main_path import ended
from tests.factories.studio import import_digits, train_tiny
from tests.processes import PlatformProcesses, runner_of, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]

LONGEST_SECONDS = 240
"""For two processes to load their libraries and begin to learn on a busy machine."""


def test_a_training_on_several_devices_goes_on_from_its_checkpoint_when_one_process_dies(
    processes: PlatformProcesses, owner: User
) -> None:
    processes.start_engine()
    worker = processes.start_worker(WORKER_DEVICE="cpu", WORKER_DEVICE_COUNT="2")
    dataset = import_digits(owner)
    assert dataset.import_job is not None
    ended(dataset.import_job, seconds=LONGEST_SECONDS)
    [devices] = Worker.objects.values_list("devices", flat=True)
    assert [(device["id"], device["processes"]) for device in devices] == [("cpu", 2)]

    job = train_tiny(owner, dataset, kimg=LONG_KIMG)
    has_checkpoint = Checkpoint.objects.filter(job=job).exists
    wait_for(has_checkpoint, seconds=LONGEST_SECONDS, what="first checkpoint")
    assert _told_devices(job) == [(2, 2)]
    runner = runner_of(worker)
    [peer] = runner.children()
    peer.kill()
    wait_for(
        lambda: Attempt.objects.filter(job=job, number=2).exists(),
        seconds=LONGEST_SECONDS,
        what="second attempt",
    )
    first = Attempt.objects.get(job=job, number=1)
    assert (first.device, first.outcome, first.reason) == ("cpu", "requeued", "worker_lost")
    psutil.wait_procs([runner, peer], timeout=60)
    assert not runner.is_running()

    wait_for(lambda: _is_running_again(job), seconds=LONGEST_SECONDS, what="second run")
    assert job.recoveries == 1
    assert Attempt.objects.get(job=job, number=2).resumed_from is not None
    assert _told_devices(job) == [(2, 2), (2, 2)]
    [peer] = runner_of(worker).children()
    request_cancel(job.pk, actor="test")
    assert ended(job, seconds=60).status == JobStatus.CANCELED
    psutil.wait_procs([peer], timeout=60)
    assert not peer.is_running()


def _told_devices(job: Job) -> list[tuple[int, int]]:
    """How many devices each attempt had and used, as the job's events say."""
    told = JobEvent.objects.filter(job=job, type="training.devices").order_by("seq")
    return [(event.data["available"], event.data["used"]) for event in told]


def _is_running_again(job: Job) -> bool:
    job.refresh_from_db()
    return job.status == JobStatus.RUNNING and bool(job.progress.get("rate"))

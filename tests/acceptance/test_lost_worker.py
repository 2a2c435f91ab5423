"""Workers die for real; their jobs do not (promises P1-P4)."""

import os
import signal
from typing import Any

import psutil
import pytest

from aigc_platform.accounts.models import User
from aigc_platform.datasets.models import Dataset
from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job
from aigc_platform.jobs.services import request_cancel, request_pause, resume_job
from aigc_platform.jobs.states import JobStatus
from tests.acceptance.test_main_path import ended
from tests.factories.studio import import_digits, train_tiny
from tests.processes import PlatformProcesses, runner_of, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LONG_KIMG = 100_000


def imported_digits(owner: User) -> Dataset:
    dataset = import_digits(owner)
    assert dataset.import_job is not None
    ended(dataset.import_job)
    return dataset


def running_training(owner: User, dataset: Dataset, **wishes: Any) -> Job:
    """Queue a training and return it once it has reported progress."""
    job = train_tiny(owner, dataset, kimg=LONG_KIMG, **wishes)
    wait_for(lambda: _images_seen(job) > 0, seconds=60, what="first training step")
    return job


def _images_seen(job: Job) -> float:
    return float(job.progress.get("current", 0)) if _status(job) == JobStatus.RUNNING else 0.0


def _status(job: Job) -> str:
    job.refresh_from_db()
    return job.status


def test_killed_worker_s_training_goes_on_from_its_checkpoint_and_a_drained_one_gives_it_back(
    processes: PlatformProcesses, owner: User
) -> None:
    processes.start_engine()
    first = processes.start_worker()
    job = running_training(owner, imported_digits(owner))
    wait_for(lambda: Checkpoint.objects.filter(job=job).exists(), seconds=60, what="first checkpoint")
    runner = runner_of(first)
    os.kill(first.pid, signal.SIGKILL)
    wait_for(
        lambda: not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE,
        seconds=5,
        what="end of the runner",
    )

    second = processes.start_worker()
    wait_for(lambda: Attempt.objects.filter(job=job, number=2).exists(), seconds=30, what="second attempt")
    attempt = Attempt.objects.get(job=job, number=2)
    resumed_from = wait_for(lambda: _resumed_from(attempt), seconds=30, what="resume").step
    wait_for(lambda: _status(job) == JobStatus.RUNNING, seconds=30, what="second run")
    assert job.recoveries == 1
    assert attempt.fence > Attempt.objects.get(job=job, number=1).fence
    wait_for(lambda: _images_seen(job) > resumed_from, seconds=60, what="progress")

    second.terminate()
    assert second.wait(30) == 0
    assert _status(job) == JobStatus.QUEUED
    assert (job.status_reason, job.recoveries) == ("drained", 1)
    newest = Checkpoint.objects.filter(job=job).order_by("-fence", "-step")[0]
    assert newest.fence == attempt.fence
    assert newest.step > resumed_from


def _resumed_from(attempt: Attempt) -> Checkpoint | None:
    attempt.refresh_from_db()
    return attempt.resumed_from


def test_a_canceled_training_publishes_nothing_and_a_paused_one_frees_the_worker_and_goes_on_later(
    processes: PlatformProcesses, owner: User
) -> None:
    processes.start_engine()
    worker = processes.start_worker()
    dataset = imported_digits(owner)
    job = running_training(owner, dataset, model="never")
    runner = runner_of(worker)
    request_cancel(job.pk, actor="test")
    assert ended(job, seconds=45).status == JobStatus.CANCELED
    wait_for(lambda: not runner.is_running(), seconds=45, what="end of the runner")
    assert not Artifact.objects.filter(job=job).exclude(role="preview").exists()
    assert not hasattr(job, "model_version")

    job = running_training(owner, dataset)
    request_pause(job.pk, actor="test")
    wait_for(lambda: _status(job) == JobStatus.PAUSED, seconds=30, what="pause")
    paused_at = Checkpoint.objects.filter(job=job).order_by("-step")[0].step
    assert paused_at > 0
    resume_job(job.pk, actor="test")
    wait_for(lambda: _status(job) == JobStatus.RUNNING, seconds=30, what="second run")
    wait_for(lambda: _images_seen(job) > paused_at, seconds=30, what="progress")
    assert job.recoveries == 0
    request_cancel(job.pk, actor="test")
    ended(job)

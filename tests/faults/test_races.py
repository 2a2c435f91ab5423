"""Faults 13 and 19: clocks that are wrong, and cancels that race with the finish."""

import random
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now

from aigc_platform.jobs.models import Artifact, Job, JobEvent
from aigc_platform.jobs.services import request_cancel, request_pause, resume_job
from aigc_platform.jobs.states import JobStatus
from tests.faults.stack import (
    GROUP,
    FaultStack,
    assert_result_is_right,
    attempts,
    wait_for_end,
    wait_for_status,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
SEED = 19


def test_a_cancel_at_any_moment_leaves_one_end_and_no_results_behind_it(stack: FaultStack) -> None:
    stack.need_workers(2)
    dice = random.Random(SEED)
    jobs = [stack.submit(kind=GROUP, steps=6, seed=seed) for seed in range(24)]
    canceled_late = 0
    for job in jobs:
        time.sleep(dice.uniform(0, 0.25))
        request_cancel(job.pk, actor="test")
    for job in jobs:
        wait_for_end(job)
        published = Artifact.objects.filter(job=job, is_preview=False).count()
        if job.status == JobStatus.SUCCEEDED:
            assert_result_is_right(job)
            canceled_late += 1
        else:
            assert (job.status, published) == (JobStatus.CANCELED, 0)
        ends = [event for event in JobEvent.objects.filter(job=job) if event.data.get("to") == job.status]
        assert len(ends) == 1
        assert JobEvent.objects.filter(job=job).latest("seq") == ends[0]
    print(f"seed {SEED}: {canceled_late} of {len(jobs)} had finished")


def test_a_cancel_reaches_a_running_job_within_a_second(stack: FaultStack) -> None:
    stack.need_workers(2)
    latencies = []
    for seed in range(3):
        job = stack.submit(steps=1000, seed=seed)
        stack.wait_for_step(job, 2)
        started = time.monotonic()
        request_cancel(job.pk, actor="test")
        wait_for_status(job, JobStatus.CANCELED)
        latencies.append(time.monotonic() - started)
    assert min(latencies) < 1


def test_pausing_and_resuming_again_and_again_loses_no_step(stack: FaultStack) -> None:
    stack.need_workers(2)
    job = stack.submit(steps=40, seed=5)
    for pause in range(1, 4):
        stack.wait_for_step(job, 8 * pause, attempt=pause)
        request_pause(job.pk, actor="test")
        wait_for_status(job, JobStatus.PAUSED)
        resume_job(job.pk, actor="test")
    assert_result_is_right(wait_for_end(job))
    assert [step.number for step in stack.steps(job)] == list(range(1, 41))
    assert job.recoveries == 0


@pytest.mark.skipif(not _FAKETIME.exists(), reason="libfaketime is not installed")
@pytest.mark.parametrize("skew", ["+10m", "-10m"])
def test_a_worker_whose_clock_is_wrong_changes_nothing(stack: FaultStack, skew: str) -> None:
    # Its sense of how long something takes stays right: that is another clock.
    faked = {"LD_PRELOAD": str(_FAKETIME), "FAKETIME": skew, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    stack.stop_workers()
    stack.start_worker(**faked)
    stack.need_workers(1)
    job = stack.submit(steps=int(6 / 0.05) + 40, seed=6)
    wait_for_end(job)
    assert_result_is_right(job)
    assert (len(attempts(job)), job.recoveries) == (1, 0)
    moments = JobEvent.objects.filter(job=job).values_list("at", flat=True)
    now = Job.objects.annotate(now=Now()).get(pk=job.pk).now
    assert all(now - timedelta(minutes=5) < moment <= now for moment in moments)
    stack.stop_workers()

"""Faults 13 and 19: clocks that are wrong, and cancels that race with the finish."""

import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now

from aigc_platform.jobs import services
from aigc_platform.jobs.models import Artifact, Job, JobEvent
from aigc_platform.jobs.services import request_cancel, request_pause, resume_job
from aigc_platform.jobs.states import JobStatus
from tests.faults.figures import Figures
from tests.faults.stack import (
    GROUP,
    HEARTBEAT_SECONDS,
    IS_MEASURED,
    LEASE_SECONDS,
    FaultStack,
    assert_result_is_right,
    attempts,
    wait_for_end,
    wait_for_status,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_RACES = 50 if IS_MEASURED else 24


@pytest.mark.fault(19)
def test_a_cancel_at_any_moment_leaves_one_end_and_no_results_behind_it(stack: FaultStack, seed: int) -> None:
    stack.need_workers(2)
    dice = random.Random(seed)
    jobs = [stack.submit(kind=GROUP, steps=6, seed=seed) for _ in range(_RACES)]
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
    print(f"{canceled_late} of {len(jobs)} had finished")


@pytest.mark.fault(19)
@pytest.mark.parametrize("way", ["nudge", "heartbeat"])
def test_a_cancel_reaches_a_running_job(
    stack: FaultStack, figures: Figures, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Within a second by its nudge; without one, with the next heartbeat."""
    stack.need_workers(2)
    if way == "heartbeat":
        monkeypatch.setattr(services, "notify", lambda _channel, _payload: None)
    latencies = []
    for number in range(2):
        job = stack.submit(steps=1000, seed=number)
        stack.wait_for_step(job, 2)
        started = time.monotonic()
        request_cancel(job.pk, actor="test")
        wait_for_status(job, JobStatus.CANCELED)
        latencies.append(time.monotonic() - started)
        figures.measured(f"cancel by {way} (s)", latencies[-1])
    assert min(latencies) < (1 if way == "nudge" else HEARTBEAT_SECONDS + 1)


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


@pytest.fixture
def wrong_clock(tmp_path: Path) -> Path:
    """A file that says how wrong the clock is; processes look into it every second."""
    if not _FAKETIME.exists():
        pytest.skip("libfaketime is not installed")
    clock = tmp_path / "clock"
    clock.write_text("+10m")
    return clock


@pytest.mark.fault(13)
def test_clocks_that_are_wrong_and_jump_change_nothing(stack: FaultStack, wrong_clock: Path) -> None:
    # Their sense of how long something takes stays right: that is another clock.
    faked = {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(wrong_clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    told = float(subprocess.run(asked, env=os.environ | faked, check=True, capture_output=True).stdout)
    assert told - time.time() > 500, "libfaketime does nothing here"
    stack.stop_workers()
    for engine in stack.engines:
        engine.terminate()
        engine.wait(20)
    stack.start_engine(**faked)
    stack.start_worker(**faked)
    stack.need_workers(1)
    job = stack.submit(steps=int(LEASE_SECONDS * 1.3 / 0.05), seed=6)
    stack.wait_for_step(job, int(LEASE_SECONDS * 0.3 / 0.05), seconds=LEASE_SECONDS + 30)
    wrong_clock.write_text("-10m")
    wait_for_end(job, seconds=LEASE_SECONDS + 60)
    assert_result_is_right(job)
    assert (len(attempts(job)), job.recoveries) == (1, 0)
    moments = JobEvent.objects.filter(job=job).values_list("at", flat=True)
    now = Job.objects.annotate(now=Now()).get(pk=job.pk).now
    assert all(now - timedelta(minutes=5) < moment <= now for moment in moments)
    stack.stop_workers()
    for engine in stack.engines:
        engine.terminate()
        engine.wait(20)
    stack.start_engine()

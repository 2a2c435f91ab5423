"""Faults 5, 14 and 15, and bad input: a runner that lies, hangs, dies or eats, and the one clear end it leads to."""

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from aigc_platform.jobs.models import Artifact, Job, JobEvent
from aigc_platform.jobs.services import Submission, request_cancel
from aigc_platform.jobs.states import JobStatus, StatusReason
from aigc_platform.storage.object_store import get_object_store
from tests.faults.stack import (
    CONFINED,
    GROUP,
    FaultStack,
    assert_result_is_right,
    attempts,
    wait_for_end,
    wait_for_status,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

_LIES = {
    "print garbage": "unknown message",
    "print an endless line": "a line of over",
    "say something unknown": "unknown message",
    "speak of another job": "not its own",
    "name a file outside": "leads outside",
    "name a link": "leads outside",
    "name a missing file": "is not a file",
    "name a file twice": "twice",
    "stop unasked": "nobody asked",
    "name a missing checkpoint": "is not a folder",
}


def _assert_failed(job: Job, reason: StatusReason, words: str) -> None:
    """One error that a person can read, in the job and in its last event; nothing published."""
    assert (job.status, job.status_reason) == (JobStatus.FAILED, reason), job.error
    assert job.error is not None
    assert words in job.error["message"]
    assert "Traceback" not in job.error["message"]
    last = JobEvent.objects.filter(job=job).latest("seq")
    assert (last.type, last.data["error"]) == (f"{job.kind}.failed", job.error)
    assert not Artifact.objects.filter(job=job, is_preview=False).exists()


def test_every_lie_of_a_runner_ends_its_job_in_one_clear_error(stack: FaultStack) -> None:
    stack.need_workers(2)
    jobs = {lie: stack.submit(misbehaviour=lie) for lie in _LIES}
    for lie, job in jobs.items():
        _assert_failed(wait_for_end(job), StatusReason.CODE_ERROR, _LIES[lie])
        assert len(attempts(job)) == 1, lie


@pytest.mark.fault(15)
@pytest.mark.parametrize(("misbehaviour", "exit_code"), [("segfault", -11), ("die", -9)])
def test_poison_is_tried_three_times_and_the_queue_moves_on(
    stack: FaultStack, misbehaviour: str, exit_code: int
) -> None:
    stack.need_workers(2)
    poison = stack.submit(misbehaviour=misbehaviour)
    healthy = [stack.submit(steps=5, seed=seed) for seed in range(3)]
    for job in healthy:
        assert_result_is_right(wait_for_end(job))
    _assert_failed(wait_for_end(poison), StatusReason.POISON, "killed 3 times")
    assert [attempt.exit_code for attempt in attempts(poison)] == [exit_code] * 3


def test_a_runner_that_ends_without_a_word_or_closes_its_pipe_is_started_again(stack: FaultStack) -> None:
    stack.need_workers(2)
    silent = stack.submit(misbehaviour="exit silently", bad_attempts=1, seed=1)
    closed = stack.submit(misbehaviour="close the pipe", bad_attempts=1, seed=2)
    for job in (silent, closed):
        assert_result_is_right(wait_for_end(job))
        assert (len(attempts(job)), job.recoveries) == (2, 1)
    assert attempts(silent)[0].exit_code == 0


def test_a_mistake_of_ours_is_a_sentence_to_the_owner_and_a_trace_to_the_operator(stack: FaultStack) -> None:
    stack.need_workers(1)
    sizes = stack.log_sizes()
    job = wait_for_end(stack.submit(misbehaviour="raise"))
    _assert_failed(job, StatusReason.CODE_ERROR, "unexpected KeyError; the worker's log says where")
    assert "a mistake of ours" not in str(job.error)
    assert "a mistake of ours" in stack.log_since(sizes)
    assert len(attempts(job)) == 1


@pytest.mark.fault(5)
def test_a_stuck_runner_is_noticed_its_stacks_are_kept_and_the_job_runs_again(stack: FaultStack) -> None:
    stack.need_workers(2)
    traces = {"hang": "_hang", "freeze": "The runner did not answer"}
    jobs = {
        misbehaviour: stack.submit(misbehaviour=misbehaviour, bad_attempts=1, at_step=7, seed=3)
        for misbehaviour in traces
    }
    for misbehaviour, job in jobs.items():
        assert_result_is_right(wait_for_end(job))
        log = Artifact.objects.get(job=job, role="log")
        assert (log.index, log.filename, log.is_preview) == (1, "stacks-attempt-1.txt", True)
        content = get_object_store().get_range(log.key, 0, log.size)
        assert traces[misbehaviour] in content.decode()
        assert hashlib.sha256(content).hexdigest() == log.sha256
        assert attempts(job)[0].reason == StatusReason.WORKER_LOST


@pytest.mark.fault(15)
def test_memory_that_runs_out_fails_the_job_with_advice(stack: FaultStack) -> None:
    stack.need_workers(2)
    told = stack.submit(misbehaviour="out of memory")
    limited = stack.submit(kind=CONFINED, misbehaviour="eat memory")
    for job in (told, limited):
        _assert_failed(wait_for_end(job), StatusReason.OUT_OF_MEMORY, "needs more memory")
        assert len(attempts(job)) == 1


def test_one_job_of_a_group_that_runs_out_of_memory_runs_alone_and_its_peers_are_unaffected(
    stack: FaultStack,
) -> None:
    stack.need_workers(1)
    options = Submission(group_key="shared", priority=5)
    # All at once, or the first may be claimed, and run out of memory, by itself.
    with transaction.atomic():
        greedy = stack.submit(
            kind=GROUP, options=options, steps=8, misbehaviour="out of memory", bad_attempts=1, seed=4
        )
        peers = [stack.submit(kind=GROUP, options=options, steps=8, seed=seed) for seed in (5, 6, 7)]
    for job in (*peers, greedy):
        assert_result_is_right(wait_for_end(job))
    if len({attempts(job)[0].runner_pid for job in (greedy, *peers)}) == 1:
        assert len(attempts(greedy)) == 2


def test_a_deaf_runner_is_killed_when_its_grace_is_over_and_nothing_is_published(stack: FaultStack) -> None:
    stack.need_workers(2)
    job = stack.submit(misbehaviour="be deaf", steps=10_000)
    stack.wait_for_step(job, 3)
    started = time.monotonic()
    request_cancel(job.pk, actor="test")
    wait_for_status(job, JobStatus.CANCELED)
    assert time.monotonic() - started < 15
    last = max(step.at for step in stack.steps(job))
    time.sleep(1)
    assert max(step.at for step in stack.steps(job)) == last, "the runner still works"
    assert not Artifact.objects.filter(job=job, is_preview=False).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.fault(14)
def test_a_full_disk_is_an_error_of_the_machine_and_another_worker_does_the_job(
    stack: FaultStack, small_disk: Path
) -> None:
    job = stack.submit(misbehaviour="fill the disk", bad_attempts=1, seed=8)
    stack.start_worker(DATA_DIR=str(small_disk))
    stack.need_workers(2)
    assert_result_is_right(wait_for_end(job))
    assert list(small_disk.rglob("everything")) == [], "the attempt's files were left on the disk"

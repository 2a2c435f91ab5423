"""Faults 1 and 2: worker parent, supervisor child or runner killed without a word."""

import os
import signal

import pytest

from tests.faults.stack import (
    LEASE_SECONDS,
    FaultStack,
    assert_result_is_right,
    attempts,
    child_of,
    is_gone,
    wait_for_checkpoint,
    wait_for_end,
)
from tests.processes import runner_of, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def _seconds_until_rerun(stack: FaultStack, victim: str) -> float:
    """Kill the victim in the middle of a job; check the result; return how long nobody worked on it."""
    stack.need_workers(2)
    job = stack.submit(steps=30, seed=1)
    wait_for_checkpoint(job)
    holder = stack.holder_of(job)
    runner = runner_of(holder)
    pid = {"parent": holder.pid, "child": child_of(holder).pid, "runner": runner.pid}[victim]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(runner), seconds=2, what="end of the runner")
    rerun = stack.wait_for_step(job, 1, attempt=2)
    last = max(step.at for step in stack.steps(job) if step.attempt == 1)

    wait_for_end(job)
    assert_result_is_right(job)
    first, second = attempts(job)
    assert (first.outcome, second.outcome) != ("succeeded", "succeeded")
    assert second.resumed_from is not None, "the second attempt began anew"
    assert rerun.number == second.resumed_from.step + 1
    assert job.recoveries == 1
    return rerun.at - last


def test_killed_worker_parent(stack: FaultStack) -> None:
    assert _seconds_until_rerun(stack, "parent") < LEASE_SECONDS + 10


def test_killed_supervisor_child_is_known_at_once(stack: FaultStack) -> None:
    assert _seconds_until_rerun(stack, "child") < 5


def test_killed_runner_is_known_at_once(stack: FaultStack) -> None:
    assert _seconds_until_rerun(stack, "runner") < 5

"""Faults 1 and 2: worker parent, supervisor child or runner killed without a word."""

import os
import random
import signal
import time
from contextlib import suppress

import psutil
import pytest

from tests.faults.stack import (
    HAS_DEFAULT_LEASES,
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


def _seconds_until_rerun(stack: FaultStack, victim: str, seed: int) -> float:
    """Kill the victim at a random moment of a job; check the result; return how long nobody worked on it."""
    stack.need_workers(2)
    job = stack.submit(steps=40, seed=seed)
    wait_for_checkpoint(job)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    holder = stack.holder_of(job)
    runner = runner_of(holder)
    pid = {"parent": holder.pid, "child": child_of(holder).pid, "runner": runner.pid}[victim]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(runner), seconds=10, what="end of the runner")
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


@pytest.mark.fault(1)
def test_killed_worker_parent(stack: FaultStack, seed: int) -> None:
    assert _seconds_until_rerun(stack, "parent", seed) < LEASE_SECONDS + 10


@pytest.mark.fault(2)
def test_killed_supervisor_child(stack: FaultStack, seed: int) -> None:
    assert _seconds_until_rerun(stack, "child", seed) < LEASE_SECONDS + 10


@pytest.mark.fault(2)
def test_killed_runner(stack: FaultStack, seed: int) -> None:
    assert _seconds_until_rerun(stack, "runner", seed) < LEASE_SECONDS + 10


@pytest.mark.fault(1)
def test_the_jobs_of_vanished_machines_run_elsewhere_once_their_leases_have_run_out(
    stack: FaultStack, seed: int
) -> None:
    vanishing = 3 if HAS_DEFAULT_LEASES else 1
    stack.need_workers(vanishing * 2)
    jobs = [stack.submit(steps=40, seed=seed + number) for number in range(vanishing)]
    for job in jobs:
        wait_for_checkpoint(job)
    holders = [stack.holder_of(job) for job in jobs]
    # Stopped processes are, to everybody else, a machine without power: they live, and say nothing.
    for holder in holders:
        for process in _family(holder.pid):
            process.suspend()
    try:
        for job in jobs:
            stack.wait_for_step(job, 1, attempt=2, seconds=LEASE_SECONDS + 30)
            assert_result_is_right(wait_for_end(job))
    finally:
        for holder in holders:
            for process in _family(holder.pid):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
    for job in jobs:
        first, second = attempts(job)
        assert (first.outcome, second.outcome) == ("lease_lost", "succeeded")
        assert second.resumed_from is not None


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]

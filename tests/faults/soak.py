"""A soak: many jobs and, all the while, one random fault after the other; in the end nothing may be missing."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
from django.db import connection
from pytest_django import Settings

from aigc_platform.jobs.invariants import violations
from aigc_platform.jobs.models import Artifact, Job, JobEvent, Outbox
from aigc_platform.jobs.scrubbing import differences
from aigc_platform.jobs.services import Submission, resume_job
from aigc_platform.jobs.states import TERMINAL, JobStatus, StatusReason
from aigc_platform.jobs.sweeping import superseded_checkpoints, sweep
from aigc_platform.storage.object_store import get_object_store
from tests.faults.mischief import DATABASE_ERRORS, Mischief, Undo
from tests.faults.stack import GROUP, PROBE, FaultStack, assert_result_is_right
from tests.processes import wait_for

T = TypeVar("T")

_STEP_SECONDS = 0.05
_BUSY = 0.4
"""Share of the workers' time that the jobs would take if nothing went wrong."""
_PATIENCE_SECONDS = 60.0
_TURN_SECONDS = 0.05


@dataclass(frozen=True)
class Plan:
    """How much of what.

    Attributes:
        seconds: for which faults happen; the jobs come in the first nine tenths of it.
        gap: least and most seconds between two faults.
    """

    seconds: float
    jobs: int
    gap: tuple[float, float]
    workers: int
    engines: int = 2


class Soak:
    """Runs a plan once. All that is random comes from `dice`, in order."""

    def __init__(self, stack: FaultStack, mischief: Mischief, plan: Plan, dice: random.Random) -> None:
        self._stack = stack
        self._mischief = mischief
        self._plan = plan
        self._dice = dice
        self._undos: list[tuple[float, Undo]] = []
        self.acts: Counter[str] = Counter()
        """How often each fault was made."""

    def run(self) -> list[Job]:
        """Submit, break, mend, wait until every job has ended; return the jobs as they are then."""
        started = time.monotonic()
        arrivals = sorted(self._dice.uniform(0, 0.9 * self._plan.seconds) for _ in range(self._plan.jobs))
        next_act = 0.0
        while (now := time.monotonic() - started) < self._plan.seconds or arrivals:
            self._stack.tend(engines=self._plan.engines, workers=self._plan.workers)
            if arrivals and now >= arrivals[0]:
                arrivals.pop(0)
                self._submit()
            self._undo_due(now)
            if now >= next_act:
                next_act = now + self._dice.uniform(*self._plan.gap)
                self._act(now)
            time.sleep(_TURN_SECONDS)
        self._undo_due(float("inf"))
        return self._see_through()

    def _act(self, now: float) -> None:
        name, undo = _patiently(self._mischief.act)
        self.acts[name] += 1
        if undo is not None:
            self._undos.append((now + self._dice.uniform(0.5, self._mischief.longest_seconds()), undo))

    def _undo_due(self, now: float) -> None:
        due = [undo for at, undo in self._undos if at <= now]
        self._undos = [(at, undo) for at, undo in self._undos if at > now]
        for undo in due:
            undo()

    def _submit(self) -> None:
        """Submit a job as a client does that asks again until it has an answer (promises P1 and P7)."""
        number = len(self._stack.submitted)
        kind = self._dice.choice([PROBE, PROBE, PROBE, GROUP])
        steps = self._steps(1 if kind == PROBE else 0.25)
        options = Submission(
            idempotency_key=f"soak {number}",
            request_sha256="soak",
            group_key="soak" if kind == GROUP else "",
            priority=self._dice.choice([0, 0, 5]),
        )
        padding = self._dice.choice([10_000, 1_000_000])
        _patiently(
            lambda: self._stack.submit(
                kind=kind, options=options, steps=steps, seed=number, padding_bytes=padding
            )
        )

    def _steps(self, share: float) -> int:
        plan = self._plan
        mean = _BUSY * plan.workers * plan.seconds / plan.jobs / _STEP_SECONDS
        return max(5, int(self._dice.uniform(0.1, 1.9) * mean * share))

    def _see_through(self) -> list[Job]:
        """The faults are over: whatever waits, goes on; whatever was paused, is resumed."""

        def have_all_ended() -> bool:
            self._stack.tend(engines=self._plan.engines, workers=self._plan.workers)
            for paused in Job.objects.filter(status=JobStatus.PAUSED):
                resume_job(paused.pk, actor="soak")
            return not Job.objects.exclude(status__in=TERMINAL).exists()

        seconds = _PATIENCE_SECONDS + self._plan.seconds
        wait_for(lambda: _patiently(have_all_ended), seconds=seconds, what="end of every job")
        for job in self._stack.submitted:
            job.refresh_from_db()
        return self._stack.submitted


def _patiently(call: Callable[[], T]) -> T:
    """Call again until PostgreSQL answers."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return call()
        except DATABASE_ERRORS:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def assert_nothing_is_missing(stack: FaultStack, jobs: list[Job], settings: Settings) -> None:
    """Hold what a soak left behind against every promise; the processes are stopped for it.

    Args:
        settings: Django's, of which `GARBAGE_SECONDS` is made 0.
    """
    accepted = Job.objects.filter(owner=stack.owner)
    assert len(accepted) == len(jobs), "a submission that was sent again made a second job"
    for job in jobs:
        _assert_ended_rightly(job)
    wait_for(lambda: not Outbox.objects.filter(published_at__isnull=True).exists(), seconds=60, what="rings")
    stack.stop()
    assert not _runners_below(stack.folder), "runners outlive their workers"
    settings.GARBAGE_SECONDS = 0
    store = get_object_store()
    while Job.objects.filter(collected_at__isnull=True).exists():
        sweep(store)
    assert not superseded_checkpoints().exists(), "a sweep leaves checkpoints that newer ones replace"
    problems = [*violations(store, settled=True), *differences(store)]
    assert not problems, "\n".join(str(problem) for problem in problems)


def _assert_ended_rightly(job: Job) -> None:
    if job.status == JobStatus.SUCCEEDED:
        assert_result_is_right(job)
        return
    assert not Artifact.objects.filter(job=job, is_preview=False).exists()
    if job.status == JobStatus.CANCELED:
        assert JobEvent.objects.filter(job=job, actor="soak", data__to__in=["canceling", "canceled"]).exists()
        return
    used_up = job.recoveries >= job.max_recoveries
    assert job.status_reason == StatusReason.POISON or used_up, f"{job}: {job.status_reason} {job.error}"


def _runners_below(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if "workers.runner" in process.cmdline() and str(folder) in process.environ().get("HOME", ""):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def cancel_seconds(jobs: list[Job]) -> list[float]:
    """Return for each job canceled while a worker had it how long that took, by the history."""
    found = []
    for job in jobs:
        moments = dict(JobEvent.objects.filter(job=job).values_list("data__to", "at"))
        if "canceling" in moments and "canceled" in moments:
            found.append((moments["canceled"] - moments["canceling"]).total_seconds())
    return found

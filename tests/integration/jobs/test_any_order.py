"""Owners, workers, the engine and time act in any order; the log tells one story and an end is an end."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigc_platform.accounts.models import User
from aigc_platform.jobs import leases, reaper, services
from aigc_platform.jobs.claim import Claim, claim_jobs
from aigc_platform.jobs.exceptions import InvalidTransitionError, LeaseLostError, NotResumableError
from aigc_platform.jobs.finishing import commit_checkpoint, publish_preview
from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job, JobEvent, Worker
from aigc_platform.jobs.recovery import recover
from aigc_platform.jobs.states import LEASED, TERMINAL, TRANSITIONS, JobStatus, StatusReason
from tests.factories.accounts import make_user
from tests.factories.jobs import (
    complete,
    make_worker,
    report_finalizing,
    report_running,
    stored_checkpoint,
    stored_file,
    submit,
)

pytestmark = pytest.mark.django_db

_ERROR = {"code": "toy.broken", "message": "It broke.", "errors": []}
_REFUSALS = (InvalidTransitionError, LeaseLostError, NotResumableError)


@dataclass
class _World:
    """One job, and every claim that anybody ever had on it: old holders go on acting."""

    owner: User
    worker: Worker
    job: Job
    claims: list[Claim] = field(default_factory=list)
    steps: int = 0

    def claim(self) -> None:
        self.claims += claim_jobs(self.worker)

    def as_holder(self, act: Callable[[Claim], object], which: int) -> None:
        """Let one of the claims act; -1 is the newest."""
        if self.claims:
            act(self.claims[which % len(self.claims)])

    def checkpoint(self, claim: Claim) -> None:
        self.steps += 1
        commit_checkpoint(claim.job, claim.fence, stored_checkpoint(claim, self.steps), actor=claim.actor)

    def lose_worker(self) -> None:
        Job.objects.filter(pk=self.job.pk, status__in=LEASED).update(
            lease_expires_at=Now() - timedelta(seconds=1)
        )
        reaper.requeue_lost_jobs()

    def miss_start(self) -> None:
        Job.objects.filter(pk=self.job.pk).update(start_deadline_at=Now() - timedelta(seconds=1))
        reaper.expire_late_starts()

    def let_time_pass(self) -> None:
        Job.objects.filter(pk=self.job.pk).update(run_at=F("created_at"))

    def retry(self) -> None:
        new = services.retry_job(self.job.pk, actor_user=self.owner)
        services.request_cancel(new.pk, actor="user:x")


_OWNER: dict[str, Callable[[_World], object]] = {
    "cancel": lambda world: services.request_cancel(world.job.pk, actor="user:x"),
    "pause": lambda world: services.request_pause(world.job.pk, actor="user:x"),
    "resume": lambda world: services.resume_job(world.job.pk, actor="user:x"),
    "retry": _World.retry,
    "claim": _World.claim,
    "lose the worker": _World.lose_worker,
    "miss the start": _World.miss_start,
    "let time pass": _World.let_time_pass,
}
_HOLDER: dict[str, Callable[[_World, Claim], object]] = {
    "renew": lambda _, claim: leases.renew_lease(claim.job, claim.fence),
    "run": lambda _, claim: report_running(claim),
    "progress": lambda _, claim: leases.report_progress(
        claim.job, claim.fence, {"current": 1}, actor=claim.actor, as_event=True
    ),
    "finalize": lambda _, claim: report_finalizing(claim),
    "checkpoint": _World.checkpoint,
    "preview": lambda _, claim: publish_preview(
        claim.job, claim.fence, stored_file(claim, claim.fence, role="grid"), actor=claim.actor
    ),
    "complete": lambda _, claim: complete(claim, stored_file(claim)),
    "give back": lambda _, claim: leases.requeue(
        claim.job, claim.fence, actor=claim.actor, reason=StatusReason.DRAINED, spends_recovery=False
    ),
    "recover": lambda _, claim: recover(
        claim.job, claim.fence, actor=claim.actor, reason=StatusReason.STORAGE_ERROR, error=_ERROR
    ),
    "fail": lambda _, claim: leases.fail_job(
        claim.job, claim.fence, actor=claim.actor, reason=StatusReason.CODE_ERROR, error=_ERROR
    ),
    "confirm cancel": lambda _, claim: leases.confirm_canceled(claim.job, claim.fence, actor=claim.actor),
    "confirm pause": lambda _, claim: leases.confirm_paused(claim.job, claim.fence, actor=claim.actor),
}

_ACTS = sorted([*_OWNER, *_HOLDER])
_HELD = [
    "run",
    "progress",
    "checkpoint",
    "preview",
    "finalize",
    "give back",
    "recover",
    "pause",
    "lose the worker",
]
_LIKELY: dict[JobStatus, list[str]] = {
    JobStatus.QUEUED: ["claim", "claim", "miss the start", "let time pass", "claim", "pause"],
    JobStatus.STARTING: _HELD,
    JobStatus.RUNNING: _HELD,
    JobStatus.FINALIZING: ["complete", "fail", *_HELD],
    JobStatus.PAUSING: ["confirm pause", "checkpoint", "cancel", "lose the worker"],
    JobStatus.PAUSED: ["resume"],
    JobStatus.CANCELING: ["confirm cancel", "lose the worker", "complete"],
}
"""What usually happens next. Acts drawn blindly would mostly be refused and seldom lead anywhere."""

_orders = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 999), st.sampled_from([-1, -1, -1, -2, 0])),
    min_size=10,
    max_size=30,
)


def _choose(world: _World, luck: int, number: int) -> str:
    status = JobStatus(Job.objects.values_list("status", flat=True).get(pk=world.job.pk))
    likely = _LIKELY.get(status, _ACTS) if luck else _ACTS
    return likely[number % len(likely)]


def _act(world: _World, name: str, which: int) -> None:
    try:
        if name in _OWNER:
            _OWNER[name](world)
        else:
            world.as_holder(lambda claim: _HOLDER[name](world, claim), which)
    except _REFUSALS:
        pass


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(orders=_orders)
def test_in_any_order_the_promises_hold_after_every_step(orders: list[tuple[int, int, int]]) -> None:
    world = _new_world()
    for luck, number, which in orders:
        _act_and_check(world, _choose(world, luck, number), which)
    _finish(world)


_WAYS: dict[JobStatus, list[str]] = {
    JobStatus.SUCCEEDED: ["claim", "run", "progress", "preview", "checkpoint", "finalize", "complete"],
    JobStatus.FAILED: ["claim", "run", "lose the worker", "claim", "run", "finalize", "fail"],
    JobStatus.CANCELED: ["claim", "pause", "confirm pause", "resume", "claim", "cancel", "confirm cancel"],
    JobStatus.EXPIRED: ["pause", "miss the start"],
}
"""A way to each end. What is drawn depends on which modules are loaded, so it cannot be relied on to find them."""


@pytest.mark.parametrize("end", _WAYS)
def test_the_promises_hold_on_the_way_to_each_end_and_whatever_is_tried_after_it(end: JobStatus) -> None:
    world = _new_world()
    for name in _WAYS[end]:
        _act_and_check(world, name, -1)
    assert Job.objects.get(pk=world.job.pk).status == end
    for name in _ACTS:
        _act_and_check(world, name, -1)
    _finish(world)


def _new_world() -> _World:
    owner = make_user()
    return _World(owner, make_worker(), submit(owner))


def _act_and_check(world: _World, name: str, which: int) -> None:
    before = Job.objects.get(pk=world.job.pk)
    _act(world, name, which)
    _check_step(before, Job.objects.get(pk=world.job.pk), name)


def _finish(world: _World) -> None:
    """Check the whole story, then clear the queue for the next."""
    _check_history(world)
    services.request_cancel(world.job.pk, actor="clean-up")
    world.lose_worker()


def _check_step(before: Job, now: Job, name: str) -> None:
    assert now.fence >= before.fence
    if before.status in TERMINAL:
        changed = {
            field.attname
            for field in Job._meta.concrete_fields
            if getattr(before, field.attname) != getattr(now, field.attname)
        }
        # The two that this test itself turns to play time.
        assert changed <= {"run_at", "start_deadline_at"}, f"{name} changed an ended job: {changed}"


def _check_history(world: _World) -> None:
    job = Job.objects.get(pk=world.job.pk)
    events = list(JobEvent.objects.filter(job=job).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, job.event_seq + 1))
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(events))

    moves = [(event.data["from"], event.data["to"]) for event in events if "to" in event.data]
    assert [source for source, _ in moves] == [JobStatus.QUEUED, *(target for _, target in moves)][:-1]
    assert all(JobStatus(target) in TRANSITIONS[JobStatus(source)] for source, target in moves)
    if moves:
        assert moves[-1][1] == job.status
    ends = [position for position, event in enumerate(events) if event.data.get("to") in TERMINAL]
    assert ends == ([len(events) - 1] if job.is_terminal else [])

    attempts = list(Attempt.objects.filter(job=job).order_by("number"))
    assert [attempt.number for attempt in attempts] == list(range(1, job.attempt_count + 1))
    assert [attempt.fence for attempt in attempts] == sorted({attempt.fence for attempt in attempts})
    still_open = [attempt.fence for attempt in attempts if attempt.ended_at is None]
    assert still_open == ([job.fence] if job.status in LEASED else [])

    results = Artifact.objects.filter(job=job, is_preview=False)
    assert results.exists() is (job.status == JobStatus.SUCCEEDED)
    assert len(set(results.values_list("fence", flat=True))) <= 1
    assert Checkpoint.objects.filter(job=job).exclude(fence__in=[a.fence for a in attempts]).count() == 0
    assert job.recoveries <= job.max_recoveries

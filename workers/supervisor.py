"""The worker's work: claim, prepare, run, until the queues are empty. Lives in Celery's prefork child."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from aigc_platform.common import failpoints
from aigc_platform.common.exceptions import PlatformError, UnavailableError
from aigc_platform.jobs.claim import Claim, claim_jobs
from aigc_platform.jobs.exceptions import LeaseLostError
from aigc_platform.jobs.fleet import give_back_all
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Worker, WorkerState
from aigc_platform.jobs.outbox import write_ring
from aigc_platform.jobs.states import StatusReason
from aigc_platform.settings.env import process_environment
from aigc_platform.storage.object_store import get_object_store
from ml.threads import thread_count
from workers.attempt import AttemptRun, advance
from workers.bell import Bell
from workers.devices import Device, ids, process_count, visible
from workers.failures import from_platform_error, runner_not_started, unexpected
from workers.heart import DATABASE_ERRORS, Heart
from workers.preparing import prepare
from workers.publishing import Publisher
from workers.runner.protocol import Exit, JobItem
from workers.runner_process import RunnerDiedError, RunnerProcess
from workers.session import Session
from workers.workspace import InputCache, Workspace

log = structlog.get_logger(__name__)

_SHIFT_SECONDS = 60.0
"""A ring is answered for this long at most, so that the broker connection is seen to now and then."""
_OUTAGE_PAUSE_SECONDS = 1.0
_EXIT_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Post:
    """Where this worker works: its devices and its scratch folder."""

    devices: tuple[Device, ...]
    scratch: Path

    def devices_for(self, kind: str) -> tuple[Device, ...]:
        """Return the devices that a job of this kind computes on: all where it can use several, else the first."""
        if get_kind(kind).uses_all_devices:
            return self.devices
        return (replace(self.devices[0], processes=1),)


class Supervisor:
    """Answers rings. One per worker process; all methods are called from its main thread."""

    def __init__(self, heart: Heart, post: Post, draining: threading.Event) -> None:
        self._heart = heart
        self._post = post
        self._draining = draining
        self._bell = Bell()
        self._publisher = Publisher(get_object_store(), self._bell)
        self._cache = InputCache(post.scratch, get_object_store())
        self._warm: dict[str, RunnerProcess] = {}
        self._may_hold_unknown = False

    def answer_ring(self) -> int:
        """Claim and run jobs until none is eligible, the shift is over, or the worker drains.

        Returns:
            How many groups of jobs were run.
        """
        worker = self._heart.worker(timeout_seconds=30)
        if worker is None:
            log.warning("ring_unanswered", reason="the worker is not registered: the database is away")
            return 0
        done = 0
        shift_ends = time.monotonic() + _SHIFT_SECONDS
        while not self._draining.is_set():
            if time.monotonic() > shift_ends:
                self._ring_again(worker)
                break
            claims = self._claim(worker)
            if claims is None:
                self._draining.wait(_OUTAGE_PAUSE_SECONDS)
                continue
            if not claims:
                break
            failpoints.reach("job.claimed")
            self._heart.say(WorkerState.BUSY)
            try:
                self._run(claims)
            finally:
                self._heart.say(WorkerState.DRAINING if self._draining.is_set() else WorkerState.READY)
            done += 1
        return done

    def close(self) -> None:
        """End the warm runners."""
        for runner in self._warm.values():
            _dismiss(runner)
        self._warm.clear()
        self._publisher.close()

    def _claim(self, worker: Worker) -> list[Claim] | None:
        """Return what there is to do, or None while the database is away."""
        try:
            if self._may_hold_unknown:
                # The answer to the last claim was lost, and the claim with it, if it was made at all.
                give_back_all(worker)
                self._may_hold_unknown = False
            return claim_jobs(worker, device=ids(self._post.devices))
        except DATABASE_ERRORS as error:
            log.warning("database_unreachable", error=str(error).strip())
            connection.close()
            self._may_hold_unknown = True
            return None

    def _ring_again(self, worker: Worker) -> None:
        """The shift is over, the work may not be: ask for another ring. The engine rings too, only later."""
        try:
            for queue in worker.queues:
                write_ring(queue, only_if_silent=True)
        except DATABASE_ERRORS:
            connection.close()

    def _run(self, claims: Sequence[Claim]) -> None:
        runs = [self._attempt(claim) for claim in claims]
        try:
            ready = [(run, item) for run in runs if (item := self._prepare(run)) is not None]
            if ready:
                self._run_session([run for run, _ in ready], [item for _, item in ready])
            _see_through([run for run in runs if not run.has_ended])
        finally:
            for run in runs:
                self._heart.release(run.claim)
                run.close()

    def _attempt(self, claim: Claim) -> AttemptRun:
        workspace = Workspace(self._post.scratch, claim.job.pk, claim.fence)
        return AttemptRun(claim, self._heart.hold(claim), workspace, self._publisher)

    def _prepare(self, run: AttemptRun) -> JobItem | None:
        """Return what the runner starts with, or None if the attempt ends here."""
        try:
            return prepare(run.claim, run.workspace, self._cache)
        except LeaseLostError:
            run.lose()
        except UnavailableError as error:
            run.run_again(StatusReason.STORAGE_ERROR, from_platform_error(error))
        except PlatformError as error:
            run.fail(StatusReason.INVALID_INPUT, from_platform_error(error))
        except (OperationalError, InterfaceError) as error:
            log.warning("database_unreachable", error=str(error).strip())
            connection.close()
            run.give_back(StatusReason.WORKER_LOST)
        except Exception:
            log.exception("preparation_failed", job=run.job_id)
            run.fail(StatusReason.CODE_ERROR, unexpected())
        return None

    def _run_session(self, runs: list[AttemptRun], items: list[JobItem]) -> None:
        kind = runs[0].claim.job.kind
        try:
            runner = self._runner(kind)
        except OSError as error:
            log.exception("runner_not_started", kind=kind)
            for run in runs:
                run.run_again(StatusReason.WORKER_LOST, runner_not_started(error))
            return
        session = Session(
            runner,
            runs,
            items,
            heart=self._heart,
            draining=self._draining,
            bell=self._bell,
            checkpoint_seconds=settings.CHECKPOINT_SECONDS,
            stall_seconds=settings.STALL_SECONDS,
            processes=process_count(self._post.devices_for(kind)),
            tracking_uri=(settings.MLFLOW_TRACKING_URI or None) if get_kind(kind).is_tracked else None,
        )
        is_usable = session.run()
        if is_usable and get_kind(kind).warm:
            self._warm[kind] = runner
        else:
            _dismiss(runner)

    def _runner(self, kind: str) -> RunnerProcess:
        warm = self._warm.pop(kind, None)
        if warm is not None and warm.is_alive():
            return warm
        devices = self._post.devices_for(kind)
        return RunnerProcess(
            kind,
            threads=thread_count(settings.WORKERS_PER_HOST * process_count(devices)),
            device=ids(devices),
            scratch=self._post.scratch,
            environment=process_environment() | visible(devices),
            handler=get_kind(kind).runner,
            memory_limit_bytes=get_kind(kind).memory_limit_bytes,
        )


def _see_through(runs: Sequence[AttemptRun]) -> None:
    """Wait until the ends that were decided without a runner are written."""
    while waiting := [run for run in runs if not run.has_ended]:
        for run in waiting:
            if run.pulse.is_lost:
                run.lose()
        advance(waiting, lambda _checkpoint, _committed: None)
        if any(not run.has_ended for run in waiting):
            time.sleep(0.1)


def _dismiss(runner: RunnerProcess) -> None:
    """Ask the runner to end, wait a little, make sure."""
    if runner.is_alive():
        try:
            runner.send(Exit())
            runner.wait(_EXIT_GRACE_SECONDS)
        except RunnerDiedError:
            pass
    runner.kill()

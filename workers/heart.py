"""The worker's pulse: one thread that says "alive", renews leases and learns what owners want.

It has its own database connection. While the database is away it keeps trying and says so (`is_frozen`): runners
compute on, but nothing is published until a beat succeeds with the same fence.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.engine import wait_for_notification
from aigc_platform.jobs.exceptions import LeaseLostError
from aigc_platform.jobs.fleet import beat, retire_worker
from aigc_platform.jobs.leases import renew_lease
from aigc_platform.jobs.models import Job, Worker, WorkerState
from aigc_platform.jobs.services import NUDGE_CHANNEL
from aigc_platform.jobs.states import DesiredState

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 5.0
"""A nudge can be lost; between two beats the held jobs' wishes are read this often, so that a cancel comes in time."""
GIVE_UP_SECONDS = 15 * 60
"""Without the database for this long, a runner is ended: someone else has its job by then."""

DATABASE_ERRORS = (DatabaseError, InterfaceError, psycopg.Error)


@dataclass
class Pulse:
    """What the heart knows about one claim. Written by the heart's thread, read by the supervisor's."""

    claim: Claim
    desired: DesiredState = DesiredState.RUN
    is_lost: bool = False


class Heart:
    """Beats from `start` to `stop`.

    Args:
        register: inserts the worker's row; called in the heart's thread until it succeeds.
    """

    def __init__(self, register: Callable[[], Worker]) -> None:
        self._register = register
        self._worker: Worker | None = None
        self._pulses: dict[UUID, Pulse] = {}
        self._lock = threading.Lock()
        self._registered = threading.Event()
        self._stopping = threading.Event()
        self._state = WorkerState.READY
        self._last_success = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def worker(self, timeout_seconds: float) -> Worker | None:
        """Return the worker's row once it is inserted, or None if the database stays away."""
        self._registered.wait(timeout_seconds)
        return self._worker

    @property
    def is_frozen(self) -> bool:
        """Whether leases may have run out without our knowing: hold back every outside effect."""
        return time.monotonic() - self._last_success > settings.LEASE_SECONDS / 2

    @property
    def has_given_up(self) -> bool:
        return time.monotonic() - self._last_success > GIVE_UP_SECONDS

    def say(self, state: WorkerState) -> None:
        """Set the state that the next beat tells."""
        self._state = state

    def hold(self, claim: Claim) -> Pulse:
        """Renew this claim from now on."""
        pulse = Pulse(claim)
        with self._lock:
            self._pulses[claim.job.pk] = pulse
        return pulse

    def release(self, claim: Claim) -> None:
        with self._lock:
            self._pulses.pop(claim.job.pk, None)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._beat()
                self._rest()
            except DATABASE_ERRORS as error:
                log.warning("database_unreachable", error=str(error).strip())
                connection.close()
                self._stopping.wait(1.0)
            except Exception:
                log.exception("heartbeat_failed")
                self._stopping.wait(1.0)
        self._retire()

    def _beat(self) -> None:
        if self._worker is None:
            self._worker = self._register()
            self._registered.set()
        beat(self._worker, self._state)
        with self._lock:
            pulses = list(self._pulses.values())
        for pulse in pulses:
            self._renew(pulse)
        self._last_success = time.monotonic()

    def _renew(self, pulse: Pulse) -> None:
        try:
            pulse.desired = renew_lease(pulse.claim.job, pulse.claim.fence)
        except LeaseLostError:
            pulse.is_lost = True

    def _rest(self) -> None:
        """Wait for the next beat, or less: a nudge about a held job ends the rest, and so does a wish without one."""
        until = time.monotonic() + settings.HEARTBEAT_SECONDS
        look_at = time.monotonic() + _LOOK_SECONDS
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            payload = wait_for_notification(NUDGE_CHANNEL, min(left, 1.0))
            if payload is not None and self._holds(payload):
                return
            if time.monotonic() >= look_at:
                if self._missed_a_wish():
                    return
                look_at += _LOOK_SECONDS

    def _holds(self, job_id: str) -> bool:
        with self._lock:
            return any(str(held) == job_id for held in self._pulses)

    def _missed_a_wish(self) -> bool:
        """Tell whether an owner wants something that no nudge has told: one query, none if nothing is held."""
        with self._lock:
            known = {job_id: pulse.desired for job_id, pulse in self._pulses.items()}
        rows = Job.objects.filter(pk__in=known).values_list("pk", "desired")
        return any(desired != known[job_id] for job_id, desired in rows)

    def _retire(self) -> None:
        try:
            if self._worker is not None:
                retire_worker(self._worker)
            connection.close()
        except DATABASE_ERRORS:
            log.warning("worker_not_retired")

"""The engine process: relay, reaper, sweeper and registered loops, each in a thread of its own; any number of them.

A loop that fails logs and goes on: PostgreSQL or the broker may be away for a while and come back.
"""

import threading
import time
from collections.abc import Callable

import psycopg
import structlog
from celery import Celery
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from aigc_platform.jobs import reaper, relay
from aigc_platform.jobs.depth import count_queues
from aigc_platform.jobs.fleet import bury_dead_workers
from aigc_platform.jobs.loops import EngineLoop, registered_loops
from aigc_platform.jobs.outbox import OUTBOX_CHANNEL
from aigc_platform.jobs.sweeping import sweep
from aigc_platform.storage.object_store import get_object_store

log = structlog.get_logger(__name__)

_RELAY_POLL_SECONDS = 1.0
_OUTAGE_PAUSE_SECONDS = 1.0


class Engine:
    """Runs the loops until `stop` is called.

    Args:
        app: the Celery app whose broker the relay publishes to.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._stopping = threading.Event()
        self._grace = LeaseGrace(settings.LEASE_SECONDS)

    def run(self) -> None:
        """Run until `stop`; returns when all loops have ended."""
        loops = [
            threading.Thread(target=self._relay_loop, name="relay"),
            threading.Thread(target=self._reaper_loop, name="reaper"),
            threading.Thread(target=self._sweeper_loop, name="sweeper"),
            *(
                threading.Thread(target=self._registered_loop, args=(make,), name=name)
                for name, make in registered_loops().items()
            ),
        ]
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join()

    def stop(self) -> None:
        self._stopping.set()

    def _relay_loop(self) -> None:
        while not self._stopping.is_set():
            self._guarded(self._relay_once)
        connection.close()

    def _relay_once(self) -> None:
        close_old_connections()
        if relay.publish_pending(self._app) == 0:
            wait_for_notification(OUTBOX_CHANNEL, _RELAY_POLL_SECONDS)

    def _reaper_loop(self) -> None:
        while not self._stopping.is_set():
            self._guarded(self._reap_once)
            self._stopping.wait(settings.REAPER_INTERVAL_SECONDS)
        connection.close()

    def _sweeper_loop(self) -> None:
        while not self._stopping.wait(settings.SWEEP_INTERVAL_SECONDS):
            self._guarded(self._sweep_once)
        connection.close()

    def _registered_loop(self, make: Callable[[], EngineLoop]) -> None:
        loop = make()

        def step() -> None:
            close_old_connections()
            loop.step(self._stopping)

        while not self._stopping.is_set():
            self._guarded(step)
        self._guarded(loop.close)
        connection.close()

    def _sweep_once(self) -> None:
        close_old_connections()
        sweep(get_object_store())

    def _reap_once(self) -> None:
        close_old_connections()
        bury_dead_workers(actor=reaper.ACTOR)
        reaper.expire_late_starts()
        reaper.stop_overdue_jobs()
        reaper.ring_silent_queues()
        reaper.delete_old_outbox_rows()
        count_queues()
        self._grace.note_contact()
        if self._grace.is_over():
            reaper.requeue_lost_jobs()
            reaper.retire_lost_workers()

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (DatabaseError, InterfaceError, psycopg.Error) as error:
            log.warning("database_unreachable", error=str(error).strip())
            connection.close()
            self._stopping.wait(_OUTAGE_PAUSE_SECONDS)
        except Exception:
            log.exception("engine_step_failed", loop=threading.current_thread().name)
            self._stopping.wait(_OUTAGE_PAUSE_SECONDS)


class LeaseGrace:
    """One lease of patience after the engine's own start, or after it was cut off from the database for long.

    While nobody could reach the database nobody could renew a lease: expiring them at once would evict every
    live worker. A cut of less than half a lease leaves every live worker time for a beat, so it costs no patience.

    Args:
        seconds: how long a lease lasts.
        clock: monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last_contact = clock()
        self._over_at = self._last_contact + seconds

    def note_contact(self) -> None:
        """Say that the database has just answered."""
        now = self._clock()
        if now - self._last_contact > self._seconds / 2:
            log.warning("leases_spared", cut_off_seconds=round(now - self._last_contact, 1))
            self._over_at = now + self._seconds
        self._last_contact = now

    def is_over(self) -> bool:
        return self._clock() >= self._over_at


def wait_for_notification(channel: str, timeout_seconds: float) -> str | None:
    """Wait for a NOTIFY on `channel` on this thread's connection; return its payload, or None at the timeout."""
    connection.ensure_connection()
    raw = connection.connection
    raw.execute(f'LISTEN "{channel}"')
    for notification in raw.notifies(timeout=timeout_seconds, stop_after=1):
        return str(notification.payload)
    return None

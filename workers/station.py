"""This worker process's own supervisor and heart, and the pipe by which Celery's parent tells its child to drain.

`worker_shutting_down` fires in the parent, inside its signal handler; the jobs run in the child. A byte in a pipe
is the one thing that is safe to send from there.
"""

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings

from aigc_platform.common.host import this_process
from aigc_platform.common.postgresql import expect_answers_within
from aigc_platform.jobs.fleet import bury_dead_workers, register_worker
from aigc_platform.jobs.models import Worker, WorkerState
from aigc_platform.jobs.outbox import write_ring
from workers.devices import Device, DeviceLock, choose_devices
from workers.heart import Heart
from workers.leftovers import kill_leftover_runners
from workers.supervisor import Post, Supervisor

log = structlog.get_logger(__name__)


@dataclass
class _Station:
    queues: list[str]
    drain_read: int
    drain_write: int
    heart: Heart | None = None
    supervisor: Supervisor | None = None
    locks: tuple[DeviceLock, ...] = ()
    """Held until this process ends."""


_station: _Station | None = None


def prepare(queues: list[str]) -> None:
    """In the parent, before it forks: note the queues and open the pipe."""
    global _station  # noqa: PLW0603 — one worker a process; Celery's signals carry no state of ours
    read, write = os.pipe()
    os.set_blocking(write, False)
    _station = _Station(queues, read, write)


def lock_folder() -> Path:
    """Return the folder by which the workers of this host share out its GPUs."""
    return Path(settings.DATA_DIR) / "locks"


def ask_to_drain() -> None:
    """In the parent, inside a signal handler: ask the child to give its jobs back and claim no more."""
    if _station is not None:
        os.write(_station.drain_write, b"d")


def open_in_child() -> None:
    """In the fresh child: choose the devices, start the heart, be ready for rings."""
    station = _present()
    os.close(station.drain_write)
    expect_answers_within(settings.DATABASE_ANSWER_SECONDS)
    scratch_root = Path(settings.DATA_DIR) / "scratch"
    kill_leftover_runners(scratch_root)
    draining = threading.Event()
    wanted = settings.WORKER_DEVICE, settings.WORKER_DEVICE_COUNT
    devices, station.locks = choose_devices(lock_folder(), *wanted)
    station.heart = Heart(lambda: _register(devices, station.queues))
    threading.Thread(
        target=_await_drain, args=(station.drain_read, station.heart, draining), name="drain", daemon=True
    ).start()
    scratch = scratch_root / f"{socket.gethostname()}-{devices[0].id}-{os.getppid()}"
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    station.supervisor = Supervisor(station.heart, Post(devices, scratch), draining)
    station.heart.start()


def close_in_child() -> None:
    """In the child, at an orderly end."""
    station = _present()
    if station.supervisor is not None:
        station.supervisor.close()
    if station.heart is not None:
        station.heart.stop()


def supervisor() -> Supervisor:
    """Return this process's supervisor.

    Raises:
        RuntimeError: this is no worker's child process.
    """
    found = _present().supervisor
    if found is None:
        raise RuntimeError("This process is not a worker's child.")
    return found


def _present() -> _Station:
    if _station is None:
        raise RuntimeError("This process was not started as a worker.")
    return _station


def _await_drain(descriptor: int, heart: Heart, draining: threading.Event) -> None:
    """Wait for a byte (drain), then for the end of the pipe: the parent is gone, and nothing can reach us any more."""
    if os.read(descriptor, 1):
        log.info("worker_draining")
        draining.set()
        heart.say(WorkerState.DRAINING)
    while os.read(descriptor, 1):
        pass
    log.warning("parent_lost")
    # Its runner dies with this process; whoever takes the parent's place finds it dead and takes its jobs at once.
    os._exit(os.EX_UNAVAILABLE)


def _register(devices: Sequence[Device], queues: list[str]) -> Worker:
    """Insert this worker's row, and bury those of this host that died without a word."""
    me = this_process()
    worker = register_worker(
        name=f"{me.host}-{os.getppid()}",
        host=me.host,
        boot_id=me.place,
        pid=me.pid,
        pid_started=me.started,
        devices=[device.as_dict() for device in devices],
        queues=queues,
    )
    bury_dead_workers(actor=f"worker:{worker.name}")
    # What waits may have been rung for the others only.
    for queue in queues:
        write_ring(queue)
    return worker

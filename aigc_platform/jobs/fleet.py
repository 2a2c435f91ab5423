"""Worker rows: who serves which queues on which devices, who beats, and what becomes of a dead one's jobs."""

from contextlib import suppress
from typing import Any

import structlog
from django.db.models.functions import Now

from aigc_platform.common.host import is_dead, this_process
from aigc_platform.jobs.exceptions import LeaseLostError
from aigc_platform.jobs.leases import requeue
from aigc_platform.jobs.models import AttemptOutcome, Job, Worker, WorkerState
from aigc_platform.jobs.recovery import recover
from aigc_platform.jobs.states import StatusReason

log = structlog.get_logger(__name__)


def register_worker(
    *,
    name: str,
    host: str,
    boot_id: str,
    pid: int,
    pid_started: int = 0,
    devices: list[dict[str, Any]],
    queues: list[str],
) -> Worker:
    """Insert the row of a worker process that has just started.

    Args:
        boot_id: boot of the host and process namespace, within which `pid` and `pid_started` name one process.
    """
    worker = Worker.objects.create(
        name=name,
        host=host,
        boot_id=boot_id,
        pid=pid,
        pid_started=pid_started,
        devices=devices,
        queues=queues,
        state=WorkerState.READY,
    )
    worker.refresh_from_db()
    return worker


def beat(worker: Worker, state: WorkerState) -> None:
    """Say that the worker is alive and what it does."""
    Worker.objects.filter(pk=worker.pk).update(last_beat_at=Now(), state=state)


def retire_worker(worker: Worker) -> None:
    """Note an orderly end: the row stays, as `gone`."""
    Worker.objects.filter(pk=worker.pk).update(last_beat_at=Now(), state=WorkerState.GONE)


def bury_dead_workers(*, actor: str) -> int:
    """Take the jobs of workers whose process on this very host is dead, without waiting for their leases.

    Workers of other hosts, and of other containers, are out of sight: their leases have to run out.

    Returns:
        How many jobs were taken.
    """
    here = this_process()
    seen = Worker.objects.filter(host=here.host, boot_id=here.place).exclude(state=WorkerState.GONE)
    dead = [worker for worker in seen if is_dead(worker.pid, worker.pid_started)]
    return sum(_bury(worker, actor) for worker in dead)


def _bury(dead: Worker, actor: str) -> int:
    error = {
        "code": "job.worker_lost",
        "message": "The worker's process ended without a word while it ran this job.",
        "errors": [],
    }
    jobs = list(Job.objects.filter(lease_worker=dead))
    for job in jobs:
        # Who is quicker, the reaper or another engine, takes it with another fence.
        with suppress(LeaseLostError):
            recover(
                job,
                job.fence,
                actor=actor,
                reason=StatusReason.WORKER_LOST,
                error=error,
                outcome=AttemptOutcome.LEASE_LOST,
            )
    Worker.objects.filter(pk=dead.pk).update(state=WorkerState.GONE)
    log.warning("dead_worker_buried", name=dead.name, pid=dead.pid, jobs=len(jobs))
    return len(jobs)


def give_back_all(worker: Worker) -> int:
    """Give back every job that this worker holds by the rows and, by its own knowledge, does not work on.

    No recovery is spent: nobody has begun. Call it only while the worker holds nothing.
    """
    jobs = list(Job.objects.filter(lease_worker=worker))
    for job in jobs:
        with suppress(LeaseLostError):
            requeue(
                job,
                job.fence,
                actor=f"worker:{worker.name}",
                reason=StatusReason.WORKER_LOST,
                spends_recovery=False,
            )
    return len(jobs)

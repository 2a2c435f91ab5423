"""Worker rows: who serves which queues on which devices, and who beats."""

from typing import Any

from django.db.models.functions import Now

from aigc_platform.jobs.models import Worker, WorkerState


def register_worker(
    *, name: str, host: str, boot_id: str, pid: int, devices: list[dict[str, Any]], queues: list[str]
) -> Worker:
    """Insert the row of a worker process that has just started."""
    worker = Worker.objects.create(
        name=name,
        host=host,
        boot_id=boot_id,
        pid=pid,
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

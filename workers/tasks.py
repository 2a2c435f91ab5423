"""The Celery tasks: one. A ring says "your queues may have work" and carries nothing a forger could use."""

from aigc_platform.celery import app
from aigc_platform.jobs.relay import RING_TASK
from workers import station


@app.task(name=RING_TASK, ignore_result=True)
def ring() -> None:
    """Claim and run what PostgreSQL has for this worker's queues."""
    station.supervisor().answer_ring()

"""What a webhook may tell. The names are part of the API: they never change their meaning."""

from django.db.models import TextChoices

from aigc_platform.jobs.states import TERMINAL, JobStatus


class EventType(TextChoices):
    """One for each status a job may enter, and what concerns an endpoint itself."""

    JOB_QUEUED = "job.queued"
    JOB_STARTING = "job.starting"
    JOB_RUNNING = "job.running"
    JOB_FINALIZING = "job.finalizing"
    JOB_PAUSING = "job.pausing"
    JOB_PAUSED = "job.paused"
    JOB_CANCELING = "job.canceling"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELED = "job.canceled"
    JOB_EXPIRED = "job.expired"
    ENDPOINT_DISABLED = "webhook_endpoint.disabled"
    """Another endpoint of the same user failed for so long that it is no longer sent to."""
    TEST = "webhook.test"
    """Asked for by the user; sent whatever the endpoint subscribes to."""


SUBSCRIBABLE: tuple[EventType, ...] = tuple(kind for kind in EventType if kind is not EventType.TEST)


def event_type_of(status: str) -> EventType:
    """Return the event of a job that enters this status."""
    return EventType(f"job.{status}")


def default_event_types() -> list[str]:
    """Return the ends of jobs: what most receivers wait for."""
    return [kind.value for kind in EventType if kind in _ENDS]


_ENDS = frozenset(event_type_of(status) for status in JobStatus if status in TERMINAL)

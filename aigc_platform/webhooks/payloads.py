"""What a message says: type, time, and the part of a job's envelope that does not depend on its kind.

No spec, no outputs, no links with a signature in them: a receiver that wants more asks the API, as itself.
"""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from aigc_platform.common.uuid7 import uuid7
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Job, JobEvent
from aigc_platform.webhooks.event_types import EventType, event_type_of
from aigc_platform.webhooks.models import WebhookEndpoint

JsonObject = dict[str, Any]


def job_event_id(job_id: UUID, seq: int) -> str:
    """Return the id of a job's event: the same one for every endpoint, attempt and redelivery."""
    return f"evt_{job_id.hex}_{seq}"


def fresh_event_id() -> str:
    """Return an id for an event that is no job's."""
    return f"evt_{uuid7().hex}"


def job_payload(job: Job, event: JobEvent) -> JsonObject:
    """Describe the job as it is right after this event."""
    error = job.error or {}
    data = {
        "id": str(job.pk),
        "kind": job.kind,
        "status": job.status,
        "status_reason": job.status_reason,
        "event_seq": event.seq,
        "attempt": job.attempt_count,
        "labels": job.labels,
        "error": {"code": error.get("code", ""), "message": error.get("message", "")} if error else None,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "urls": _urls(job),
    }
    return _payload(event_type_of(job.status), event.at, data)


def disabled_payload(endpoint: WebhookEndpoint, at: datetime) -> JsonObject:
    """Say that messages are no longer sent to this endpoint."""
    data = {
        "id": str(endpoint.pk),
        "url": endpoint.url,
        "disabled_reason": endpoint.disabled_reason,
        "urls": {"self": _address(endpoint)},
    }
    return _payload(EventType.ENDPOINT_DISABLED, at, data)


def probe_payload(endpoint: WebhookEndpoint, at: datetime) -> JsonObject:
    """Say nothing but that the endpoint is reached."""
    return _payload(EventType.TEST, at, {"id": str(endpoint.pk), "urls": {"self": _address(endpoint)}})


def body_of(payload: JsonObject) -> str:
    """Return the text to sign and send: the same at every attempt."""
    return json.dumps(payload, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _payload(kind: EventType, at: datetime, data: JsonObject) -> JsonObject:
    return {"type": kind.value, "timestamp": _time(at), "data": data}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _urls(job: Job) -> JsonObject:
    path = f"/api/v1/{get_kind(job.kind).resource}/{job.pk}"
    return {
        "self": f"{settings.PUBLIC_URL}{path}",
        "events": f"{settings.EVENTS_URL}{path}/events",
        "artifacts": f"{settings.PUBLIC_URL}{path}/artifacts",
    }


def _address(endpoint: WebhookEndpoint) -> str:
    return f"{settings.PUBLIC_URL}/api/v1/webhook-endpoints/{endpoint.pk}"

"""A delivery row for each endpoint that wants the event, written in the transaction that causes the event.

So an event that exists has its deliveries, and one that was rolled back has none: nothing to catch up with after a
crash, and no order of commits to guess (docs/adr/0004).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from aigc_platform.jobs.listeners import Change
from aigc_platform.jobs.outbox import notify
from aigc_platform.webhooks.event_types import EventType, event_type_of
from aigc_platform.webhooks.models import WebhookDelivery, WebhookEndpoint
from aigc_platform.webhooks.payloads import job_event_id, job_payload
from aigc_platform.webhooks.selectors import listening

WEBHOOK_CHANNEL = "aigc_webhook"
"""PostgreSQL NOTIFY channel that wakes a sender; losing a notification only costs its poll interval."""


def record_status(changes: Sequence[Change]) -> None:
    """Write what is owed for jobs' changes of status (see `jobs.listeners`). One query if nobody listens."""
    kind = event_type_of(changes[0][0].status)
    endpoints = defaultdict(list)
    for owner_id, endpoint in listening({job.owner_id for job, _ in changes}, kind).values_list(
        "owner_id", "pk"
    ):
        endpoints[owner_id].append(endpoint)
    for job, event in changes:
        if job.owner_id in endpoints:
            record(
                endpoints[job.owner_id],
                kind,
                job_event_id(job.pk, event.seq),
                job_payload(job, event),
                job_id=job.pk,
            )


def record(
    endpoints: list[UUID] | QuerySet[WebhookEndpoint, UUID],
    kind: EventType,
    event_id: str,
    payload: Mapping[str, Any],
    *,
    job_id: UUID | None = None,
) -> list[WebhookDelivery]:
    """Insert one delivery an endpoint and wake a sender when the transaction commits."""
    deliveries = WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            endpoint_id=endpoint, event_id=event_id, event_type=kind, job_id=job_id, payload=dict(payload)
        )
        for endpoint in endpoints
    )
    if deliveries:
        notify(WEBHOOK_CHANNEL)
    return deliveries

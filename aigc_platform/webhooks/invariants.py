"""I7: the end of every job is owed to each endpoint that listened, and what became of it can be seen."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models.functions import Now

from aigc_platform.jobs.invariants import Found
from aigc_platform.jobs.models import Job, JobEvent
from aigc_platform.webhooks.event_types import event_type_of
from aigc_platform.webhooks.models import WebhookDelivery
from aigc_platform.webhooks.payloads import job_event_id
from aigc_platform.webhooks.retention import KEEP_DELIVERIES
from aigc_platform.webhooks.selectors import listening

_DOUBT = timedelta(minutes=1)
"""An endpoint whose registration and an event that were under way at one moment may have missed each other."""

_MARGIN = timedelta(days=1)


def untold_ends(job: Job) -> Iterator[Found]:
    """Yield each endpoint that should have been told of the job's end and has no delivery, or one that says otherwise.

    A delivery that exists is delivered, waits for its next attempt, or is marked as failed: a constraint says so.
    """
    if not job.is_terminal:
        return
    kept = JobEvent.objects.filter(job=job, at__gt=Now() - KEEP_DELIVERIES + _MARGIN)
    end = kept.filter(type=f"{job.kind}.{job.status}").order_by("-seq").first()
    if end is None:
        return
    kind = event_type_of(job.status)
    recorded = dict(
        WebhookDelivery.objects.filter(event_id=job_event_id(job.pk, end.seq), job_id=job.pk).values_list(
            "endpoint", "payload__type"
        )
    )
    for endpoint in listening({job.owner_id}, kind).filter(listening_since__lt=end.at - _DOUBT):
        if recorded.get(endpoint.pk) != kind:
            yield "I7", job, f"its end is not recorded for the webhook endpoint {endpoint.pk}"

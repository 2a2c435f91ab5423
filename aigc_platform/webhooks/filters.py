"""How lists of deliveries are narrowed by query parameters."""

import django_filters
from django.db.models import QuerySet

from aigc_platform.webhooks.event_types import EventType
from aigc_platform.webhooks.models import WebhookDelivery

_STATES = {
    "pending": {"next_attempt_at__isnull": False},
    "delivered": {"delivered_at__isnull": False},
    "failed": {"failed_at__isnull": False},
}


class DeliveryFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(
        choices=[(name, name) for name in _STATES], method="filter_status", help_text="Where it stands."
    )
    event_type = django_filters.ChoiceFilter(choices=EventType.choices)
    job_id = django_filters.UUIDFilter(help_text="Messages about this job.")

    def filter_status(
        self, deliveries: QuerySet[WebhookDelivery], _name: str, value: str
    ) -> QuerySet[WebhookDelivery]:
        return in_state(deliveries, value)


def in_state(deliveries: QuerySet[WebhookDelivery], state: str) -> QuerySet[WebhookDelivery]:
    """Return the deliveries that are `pending`, `delivered` or `failed`."""
    return deliveries.filter(**_STATES[state])

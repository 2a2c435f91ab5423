"""Reads."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from aigc_platform.webhooks.event_types import EventType
from aigc_platform.webhooks.exceptions import DeliveryNotFoundError
from aigc_platform.webhooks.models import WebhookDelivery, WebhookEndpoint


def kept_endpoints() -> QuerySet[WebhookEndpoint]:
    """Return the endpoints that their owners have not deleted."""
    return WebhookEndpoint.objects.filter(deleted_at__isnull=True)


def listening(owner_ids: Collection[UUID], event_type: EventType) -> QuerySet[WebhookEndpoint]:
    """Return the owners' endpoints that get events of this type."""
    mine = kept_endpoints().filter(owner__in=owner_ids, enabled=True)
    return mine.filter(event_types__contains=[event_type.value])


def endpoints_to_serve() -> QuerySet[WebhookEndpoint]:
    """Return the endpoints that nobody is sending to and that have a message due, the longest waiting first."""
    due = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), next_attempt_at__lte=Now())
    idle = kept_endpoints().filter(enabled=True, send_after__lte=Now())
    return idle.filter(Exists(due)).order_by("send_after")


def with_both_secrets(endpoints: QuerySet[WebhookEndpoint]) -> QuerySet[WebhookEndpoint]:
    """Add `previous_is_valid`: whether messages are still signed with the secret before the last rotation."""
    valid = ExpressionWrapper(Q(previous_secret_expires_at__gt=Now()), output_field=BooleanField())
    return endpoints.annotate(previous_is_valid=valid)


def get_delivery(endpoint: WebhookEndpoint, delivery_id: UUID) -> WebhookDelivery:
    """Return one delivery of the endpoint.

    Raises:
        DeliveryNotFoundError: it has no such delivery.
    """
    delivery = WebhookDelivery.objects.filter(endpoint=endpoint, pk=delivery_id).first()
    if delivery is None:
        raise DeliveryNotFoundError
    return delivery

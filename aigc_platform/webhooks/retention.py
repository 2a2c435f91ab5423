"""How long messages are kept to be looked at and sent again."""

from datetime import timedelta

from django.db.models.functions import Now

from aigc_platform.webhooks.models import WebhookDelivery, WebhookEndpoint

KEEP_DELIVERIES = timedelta(days=30)
_KEEP_DELETED_ENDPOINTS = timedelta(hours=1)
"""Longer than any transaction: one that saw the endpoint alive may still be writing a delivery for it."""

_BATCH = 5_000


def delete_old_rows() -> int:
    """Delete a batch of messages older than `KEEP_DELIVERIES`, and endpoints whose owners deleted them.

    Returns:
        How many deliveries went.
    """
    old = WebhookDelivery.objects.filter(created_at__lt=Now() - KEEP_DELIVERIES).order_by("created_at")
    deleted, _ = WebhookDelivery.objects.filter(
        pk__in=list(old.values_list("pk", flat=True)[:_BATCH])
    ).delete()
    for endpoint in WebhookEndpoint.objects.filter(deleted_at__lt=Now() - _KEEP_DELETED_ENDPOINTS):
        endpoint.delete()
    return deleted

"""Where users want to be told, and every message with what became of it.

All times are written by the database's clock (`Now()`).
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aigc_platform.common.uuid7 import uuid7
from aigc_platform.webhooks.event_types import EventType, default_event_types


class DisabledReason(models.TextChoices):
    USER = "user", "switched off by its owner"
    ADMIN = "admin", "switched off by an operator"
    FAILING = "failing", "every delivery failed for days"
    GONE = "gone", "the receiver answered 410 Gone"


class WebhookEndpoint(models.Model):
    """An address of one user. Secrets are stored as they are: signing needs them (see docs/howto)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook_endpoints", db_index=False
    )
    url = models.CharField(max_length=2000)
    description = models.CharField(max_length=200, blank=True)
    event_types = ArrayField(
        models.CharField(max_length=50, choices=EventType.choices), default=default_event_types
    )
    secret = models.CharField(max_length=100)
    previous_secret = models.CharField(max_length=100, blank=True)
    previous_secret_expires_at = models.DateTimeField(null=True, blank=True)
    """Until then messages are signed with both, so that the receiver may change its secret in between."""
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=20, choices=DisabledReason.choices, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    listening_since = models.DateTimeField(db_default=Now())
    """Last time it was enabled or its event types changed: what happened later must have its delivery."""
    send_after = models.DateTimeField(db_default=Now())
    """Not before: a sender is at it, or it rests after a failure."""
    failures = models.PositiveIntegerField(default=0)
    """In a row, over all its deliveries."""
    failing_since = models.DateTimeField(null=True, blank=True)
    last_delivered_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    """Gone for its owner; the sender removes the row later, when nothing can refer to it any more."""

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="webhook_endpoint_disabled_has_a_reason",
                condition=Q(enabled=True, disabled_reason="") | (Q(enabled=False) & ~Q(disabled_reason="")),
            ),
            models.CheckConstraint(
                name="webhook_endpoint_wants_something", condition=Q(event_types__len__gte=1)
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-created_at", "-id"], name="webhook_endpoint_owner_newest"),
            models.Index(
                fields=["send_after"],
                name="webhook_endpoint_to_serve",
                condition=Q(enabled=True, deleted_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"webhook to {self.url}"


class FailureReason(models.TextChoices):
    BAD_STATUS = "bad_status", "it answered with another status than 2xx"
    REDIRECT = "redirect", "it answered with a redirect, which is never followed"
    GONE = "gone", "it answered 410 Gone"
    TIMEOUT = "timeout", "it did not answer in time"
    UNREACHABLE = "unreachable", "no connection, or it was closed without an answer"
    TLS_FAILED = "tls_failed", "its certificate was not accepted"
    ADDRESS_REFUSED = "address_refused", "it is at an address this platform does not send to"


class WebhookDelivery(models.Model):
    """One event for one endpoint: pending, delivered or failed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    event_id = models.CharField(max_length=60)
    """The `webhook-id` of every attempt. Of a job's event it follows from job and sequence number."""
    event_type = models.CharField(max_length=50, choices=EventType.choices)
    job_id = models.UUIDField(null=True, blank=True)
    payload = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveIntegerField(default=0)
    """Rises at each claim; a sender whose number is no longer this one may not note a failure."""
    attempts_before = models.PositiveIntegerField(default=0)
    """Attempts already made when it was last sent again by hand: the retry schedule counts from there."""
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_default=Now())
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    last_status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    last_failure = models.CharField(max_length=20, choices=FailureReason.choices, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(
                name="webhook_delivery_event_unique_per_endpoint", fields=["endpoint", "event_id"]
            ),
            models.CheckConstraint(
                name="webhook_delivery_is_pending_delivered_or_failed",
                condition=Q(next_attempt_at__isnull=False, delivered_at__isnull=True, failed_at__isnull=True)
                | Q(next_attempt_at__isnull=True, delivered_at__isnull=False, failed_at__isnull=True)
                | Q(next_attempt_at__isnull=True, delivered_at__isnull=True, failed_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "next_attempt_at", "id"],
                name="webhook_delivery_due",
                condition=Q(next_attempt_at__isnull=False),
            ),
            models.Index(fields=["endpoint", "-created_at", "-id"], name="webhook_delivery_newest"),
            models.Index(fields=["created_at"], name="webhook_delivery_age"),
            models.Index(fields=["job_id"], name="webhook_delivery_job"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"

    @property
    def status(self) -> str:
        if self.delivered_at is not None:
            return "delivered"
        return "failed" if self.failed_at is not None else "pending"

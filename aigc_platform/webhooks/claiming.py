"""Who sends what next, and what came of it: the rows' side of sending.

A sender holds an endpoint for `HOLD`, written before the first byte goes out. If it dies in between, the hold runs out
and the message is sent again with the same id: at least once. One endpoint is sent to by one sender at a time, so
however long the backlog of a receiver that hangs, it occupies one place.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from aigc_platform.webhooks.event_types import EventType
from aigc_platform.webhooks.models import DisabledReason, FailureReason, WebhookDelivery, WebhookEndpoint
from aigc_platform.webhooks.payloads import body_of, disabled_payload, fresh_event_id
from aigc_platform.webhooks.recording import record
from aigc_platform.webhooks.schedule import rest, retry_delay
from aigc_platform.webhooks.selectors import endpoints_to_serve, listening, with_both_secrets
from aigc_platform.webhooks.sending import TOTAL_SECONDS, Message, Outcome

log = structlog.get_logger(__name__)

HOLD = timedelta(seconds=4 * TOTAL_SECONDS)
DISABLE_AFTER = timedelta(days=3)
"""An endpoint that has answered nothing but failures for so long is not sent to any more."""


@dataclass(frozen=True)
class Claimed:
    """A message that this sender, and for now no other, should send.

    Attributes:
        attempt: its number; the fence of a failure's note.
    """

    delivery: WebhookDelivery
    attempt: int
    message: Message


def claim_due(limit: int) -> list[Claimed]:
    """Take the oldest due message of up to `limit` endpoints that are not being sent to."""
    with transaction.atomic():
        # Weaker than FOR UPDATE: jobs that write deliveries for these endpoints do not wait.
        idle = with_both_secrets(endpoints_to_serve()).select_for_update(skip_locked=True, no_key=True)
        claimed = [_claim(endpoint) for endpoint in idle[:limit]]
    return [item for item in claimed if item is not None]


def _claim(endpoint: WebhookEndpoint) -> Claimed | None:
    due = WebhookDelivery.objects.filter(endpoint=endpoint, next_attempt_at__lte=Now())
    delivery = due.annotate(now=Now()).order_by("next_attempt_at", "id").first()
    if delivery is None:
        return None
    now: datetime = delivery.now
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(send_after=Now() + HOLD)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        attempts=F("attempts") + 1, last_attempt_at=Now(), next_attempt_at=Now() + HOLD
    )
    secrets = [endpoint.secret]
    if endpoint.previous_is_valid:  # type: ignore[attr-defined]  # annotated by with_both_secrets
        secrets.append(endpoint.previous_secret)
    message = Message(
        url=endpoint.url,
        event_id=delivery.event_id,
        body=body_of(delivery.payload),
        secrets=secrets,
        at=now,
    )
    return Claimed(delivery, delivery.attempts + 1, message)


def note(claimed: Claimed, outcome: Outcome) -> None:
    """Write down what came of an attempt, and free the endpoint."""
    with transaction.atomic():
        # The endpoint before the delivery, as in a claim: two senders cannot wait for each other.
        endpoint = (
            WebhookEndpoint.objects.select_for_update(no_key=True)
            .filter(pk=claimed.delivery.endpoint_id)
            .first()
        )
        if endpoint is None:
            return
        if outcome.failure is None:
            _note_success(claimed, endpoint, outcome)
        else:
            _note_failure(claimed, endpoint, outcome, outcome.failure)


def _note_success(claimed: Claimed, endpoint: WebhookEndpoint, outcome: Outcome) -> None:
    # Also if the hold had run out and somebody else is sending it again: it has arrived.
    WebhookDelivery.objects.filter(pk=claimed.delivery.pk, delivered_at__isnull=True).update(
        delivered_at=Now(),
        failed_at=None,
        next_attempt_at=None,
        last_status_code=outcome.status_code,
        last_failure="",
    )
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        failures=0, failing_since=None, send_after=Now(), last_delivered_at=Now()
    )


def _note_failure(
    claimed: Claimed, endpoint: WebhookEndpoint, outcome: Outcome, failure: FailureReason
) -> None:
    delivery = claimed.delivery
    pause = retry_delay(
        claimed.attempt - delivery.attempts_before, retry_after_seconds=outcome.retry_after_seconds
    )
    still_mine = Q(pk=delivery.pk, attempts=claimed.attempt, next_attempt_at__isnull=False)
    WebhookDelivery.objects.filter(still_mine).update(
        next_attempt_at=None if pause is None else Now() + pause,
        failed_at=Now() if pause is None else None,
        last_status_code=outcome.status_code,
        last_failure=failure,
    )
    log.info(
        "webhook_failed",
        endpoint=str(endpoint.pk),
        message=delivery.event_id,
        attempt=claimed.attempt,
        failure=failure.value,
        status=outcome.status_code,
    )
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        failures=F("failures") + 1,
        failing_since=Coalesce(F("failing_since"), Now()),
        send_after=Now() + rest(endpoint.failures + 1),
    )
    if failure is FailureReason.GONE:
        _disable(endpoint, DisabledReason.GONE)
    elif WebhookEndpoint.objects.filter(pk=endpoint.pk, failing_since__lte=Now() - DISABLE_AFTER).exists():
        _disable(endpoint, DisabledReason.FAILING)


def _disable(endpoint: WebhookEndpoint, reason: DisabledReason) -> None:
    """Stop sending to an endpoint, and tell the owner's other endpoints that want to know."""
    enabled = WebhookEndpoint.objects.filter(pk=endpoint.pk, enabled=True)
    if not enabled.update(enabled=False, disabled_reason=reason):
        return
    log.warning("webhook_endpoint_disabled", endpoint=str(endpoint.pk), reason=reason.value)
    endpoint.disabled_reason = reason
    others = listening({endpoint.owner_id}, EventType.ENDPOINT_DISABLED).values_list("pk", flat=True)
    payload = disabled_payload(endpoint, timezone.now())
    record(list(others), EventType.ENDPOINT_DISABLED, fresh_event_id(), payload)

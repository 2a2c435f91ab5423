"""Writes: endpoints made, changed and deleted, secrets rotated, messages sent again."""

import base64
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from aigc_platform.accounts.models import User
from aigc_platform.jobs.outbox import notify
from aigc_platform.webhooks.addresses import check_url
from aigc_platform.webhooks.event_types import EventType, default_event_types
from aigc_platform.webhooks.exceptions import (
    DeliveryNotFoundError,
    EndpointDisabledError,
    TooManyEndpointsError,
)
from aigc_platform.webhooks.models import DisabledReason, WebhookDelivery, WebhookEndpoint
from aigc_platform.webhooks.payloads import fresh_event_id, probe_payload
from aigc_platform.webhooks.recording import WEBHOOK_CHANNEL, record
from aigc_platform.webhooks.selectors import kept_endpoints

MOST_ENDPOINTS = 20
OLD_SECRET_LIFE = timedelta(hours=24)
_SECRET_BYTES = 32


def create_endpoint(
    *, owner: User, url: str, description: str = "", event_types: Sequence[str] | None = None
) -> WebhookEndpoint:
    """Register an address; the returned row has the secret.

    Raises:
        BadEndpointUrlError: messages will never be sent to this address.
        TooManyEndpointsError: the owner has `MOST_ENDPOINTS`.
    """
    check_url(url)
    with transaction.atomic():
        # One at a time for each owner, so that the limit is one.
        User.objects.select_for_update(no_key=True).get(pk=owner.pk)
        if kept_endpoints().filter(owner=owner).count() >= MOST_ENDPOINTS:
            raise TooManyEndpointsError(
                f"One user may have {MOST_ENDPOINTS} webhook endpoints; delete one first."
            )
        endpoint = WebhookEndpoint.objects.create(
            owner=owner,
            url=url,
            description=description,
            event_types=_in_order(event_types or default_event_types()),
            secret=_new_secret(),
        )
    endpoint.refresh_from_db()
    return endpoint


def change_endpoint(*, endpoint_id: UUID, **changes: Any) -> WebhookEndpoint:
    """Change `url`, `description`, `event_types` or `enabled`; what is not given stays.

    Raises:
        BadEndpointUrlError: messages will never be sent to the new address.
    """
    if "url" in changes:
        check_url(changes["url"])
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint_id)
        if "enabled" in changes:
            _switch(endpoint, on=changes.pop("enabled"), reason=DisabledReason.USER)
        if "event_types" in changes:
            changes["event_types"] = _in_order(changes["event_types"])
            changes["listening_since"] = Now()
        if changes:
            WebhookEndpoint.objects.filter(pk=endpoint_id).update(**changes, send_after=Now())
    endpoint.refresh_from_db()
    return endpoint


def switch_endpoint(*, endpoint_id: UUID, on: bool, reason: DisabledReason) -> bool:
    """Enable an endpoint, or disable it for this reason; return whether that changed anything."""
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint_id)
        return _switch(endpoint, on=on, reason=reason)


def delete_endpoint(*, endpoint_id: UUID) -> None:
    """Send nothing to it any more and hide it; its row and its messages go a while later."""
    kept_endpoints().filter(pk=endpoint_id).update(deleted_at=Now())


def rotate_secret(*, endpoint_id: UUID) -> WebhookEndpoint:
    """Give the endpoint a new secret; for `OLD_SECRET_LIFE` messages are signed with the old one, too."""
    WebhookEndpoint.objects.filter(pk=endpoint_id).update(
        previous_secret=F("secret"),
        previous_secret_expires_at=Now() + OLD_SECRET_LIFE,
        secret=_new_secret(),
    )
    return WebhookEndpoint.objects.get(pk=endpoint_id)


def send_test(*, endpoint_id: UUID) -> WebhookDelivery:
    """Queue a `webhook.test` message.

    Raises:
        EndpointDisabledError: nothing is sent to a disabled endpoint.
    """
    with transaction.atomic():
        endpoint = _enabled(endpoint_id)
        payload = probe_payload(endpoint, timezone.now())
        [delivery] = record([endpoint.pk], EventType.TEST, fresh_event_id(), payload)
    delivery.refresh_from_db()
    return delivery


def redeliver(*, delivery_id: UUID) -> WebhookDelivery:
    """Send a message again, whatever became of it, with its old id and a new round of attempts.

    Raises:
        DeliveryNotFoundError: it is not kept any more.
        EndpointDisabledError: nothing is sent to a disabled endpoint.
    """
    with transaction.atomic():
        found = WebhookDelivery.objects.filter(pk=delivery_id).first()
        if found is None:
            raise DeliveryNotFoundError
        _enabled(found.endpoint_id)
        WebhookDelivery.objects.filter(pk=delivery_id).update(
            attempts_before=F("attempts"), next_attempt_at=Now(), delivered_at=None, failed_at=None
        )
        notify(WEBHOOK_CHANNEL)
    found.refresh_from_db()
    return found


def _enabled(endpoint_id: UUID) -> WebhookEndpoint:
    """Return the endpoint, awake: what a person asks for does not wait for the end of a rest."""
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint_id)
    if not endpoint.enabled or endpoint.deleted_at is not None:
        raise EndpointDisabledError
    WebhookEndpoint.objects.filter(pk=endpoint_id).update(send_after=Now())
    return endpoint


def _switch(endpoint: WebhookEndpoint, *, on: bool, reason: DisabledReason) -> bool:
    if endpoint.enabled == on:
        return False
    row = WebhookEndpoint.objects.filter(pk=endpoint.pk)
    if not on:
        row.update(enabled=False, disabled_reason=reason)
        return True
    # A clean slate: one more failure must not disable it again at once.
    row.update(
        enabled=True,
        disabled_reason="",
        failures=0,
        failing_since=None,
        send_after=Now(),
        listening_since=Now(),
    )
    notify(WEBHOOK_CHANNEL)
    return True


def _in_order(event_types: Sequence[str]) -> list[str]:
    return [kind.value for kind in EventType if kind.value in event_types]


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"

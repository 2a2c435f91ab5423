"""Webhook endpoints made by the services, and the engine's sender without its thread."""

import threading
from datetime import timedelta

from django.db.models.functions import Now

from aigc_platform.accounts.models import User
from aigc_platform.webhooks import services
from aigc_platform.webhooks.claiming import claim_due, note
from aigc_platform.webhooks.event_types import SUBSCRIBABLE
from aigc_platform.webhooks.models import WebhookDelivery, WebhookEndpoint
from aigc_platform.webhooks.sending import Outcome, send
from tests.factories.accounts import make_user

PUBLIC_URL = "https://hooks.example.com/in"
EVERYTHING = [kind.value for kind in SUBSCRIBABLE]


def make_endpoint(
    owner: User | None = None, url: str = PUBLIC_URL, event_types: list[str] | None = None
) -> WebhookEndpoint:
    return services.create_endpoint(owner=owner or make_user(), url=url, event_types=event_types)


def send_due() -> list[Outcome]:
    """Do one round of what the engine's loop does, one message after the other; return what came of each."""
    outcomes = []
    for claimed in claim_due(100):
        outcome = send(claimed.message)
        note(claimed, outcome)
        outcomes.append(outcome)
    return outcomes


def let_pause_pass(delivery: WebhookDelivery) -> None:
    """Let as much time pass for this message and its endpoint that it is due."""
    WebhookDelivery.objects.filter(pk=delivery.pk, next_attempt_at__isnull=False).update(
        next_attempt_at=Now()
    )
    WebhookEndpoint.objects.filter(pk=delivery.endpoint_id).update(send_after=Now())


def let_fail_since(endpoint: WebhookEndpoint, age: timedelta) -> None:
    """Let the endpoint have failed for so long."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failing_since=Now() - age)


def never() -> threading.Event:
    """Return the event of an engine that does not stop."""
    return threading.Event()

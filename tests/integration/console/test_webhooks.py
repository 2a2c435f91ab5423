"""Webhooks in the admin: what fails is seen, messages are sent again, endpoints switched; no secret is shown."""

import pytest
from django.contrib.messages import get_messages
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from aigc_platform.accounts.models import User
from aigc_platform.webhooks.claiming import claim_due, note
from aigc_platform.webhooks.models import FailureReason, WebhookDelivery, WebhookEndpoint
from aigc_platform.webhooks.sending import Outcome
from aigc_platform.webhooks.services import rotate_secret, send_test
from tests.factories.accounts import make_user
from tests.factories.webhooks import make_endpoint

DELIVERIES = reverse("admin:webhooks_webhookdelivery_changelist")
ENDPOINTS = reverse("admin:webhooks_webhookendpoint_changelist")


@pytest.fixture
def endpoint(db: None) -> WebhookEndpoint:
    return make_endpoint()


def select(client: Client, url: str, action: str, *rows: WebhookDelivery | WebhookEndpoint) -> list[str]:
    """Do what the list's form does and return the messages it leads to."""
    form = {"action": action, "_selected_action": [str(row.pk) for row in rows], "index": "0"}
    answer = client.post(url, form)
    assert answer.status_code == 302
    return [str(message) for message in get_messages(answer.wsgi_request)]


def page(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_failed_message_says_why_and_is_sent_again(console: Client, endpoint: WebhookEndpoint) -> None:
    delivery = send_test(endpoint_id=endpoint.pk)
    [claimed] = claim_due(1)
    note(claimed, Outcome(FailureReason.REDIRECT, 302))
    WebhookDelivery.objects.update(next_attempt_at=None, failed_at=Now())
    shown = page(console, reverse("admin:webhooks_webhookdelivery_change", args=[delivery.pk]))
    assert "it answered with a redirect, which is never followed (status 302)" in shown
    assert delivery.event_id in shown

    assert select(console, DELIVERIES, "redeliver", delivery) == ["1 message will be sent again."]
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts_before) == ("pending", 1)


def test_a_message_to_a_disabled_endpoint_is_refused_by_name(
    console: Client, endpoint: WebhookEndpoint
) -> None:
    delivery = send_test(endpoint_id=endpoint.pk)
    assert select(console, ENDPOINTS, "disable", endpoint) == ["1 endpoint disabled."]
    refused = select(console, DELIVERIES, "redeliver", delivery)[-1]
    assert refused.startswith(f"1 message refused. {delivery}: The endpoint is disabled")


def test_endpoints_are_switched_and_say_who_did_it(console: Client, endpoint: WebhookEndpoint) -> None:
    other = make_endpoint()
    select(console, ENDPOINTS, "disable", endpoint)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, "admin")
    assert "switched off by an operator" in page(
        console, reverse("admin:webhooks_webhookendpoint_change", args=[endpoint.pk])
    )
    assert select(console, ENDPOINTS, "enable", endpoint, other)[-2:] == [
        "1 endpoint enabled.",
        "1 endpoint was enabled before.",
    ]


def test_no_page_shows_a_secret(console: Client, endpoint: WebhookEndpoint) -> None:
    rotated = rotate_secret(endpoint_id=endpoint.pk)
    delivery = send_test(endpoint_id=endpoint.pk)
    urls = [
        ENDPOINTS,
        DELIVERIES,
        reverse("admin:webhooks_webhookendpoint_change", args=[endpoint.pk]),
        reverse("admin:webhooks_webhookdelivery_change", args=[delivery.pk]),
    ]
    for url in urls:
        shown = page(console, url)
        assert rotated.secret not in shown
        assert endpoint.secret not in shown


def test_lists_are_filtered_by_state(console: Client, endpoint: WebhookEndpoint) -> None:
    delivered, pending = send_test(endpoint_id=endpoint.pk), send_test(endpoint_id=endpoint.pk)
    WebhookDelivery.objects.filter(pk=delivered.pk).update(delivered_at=Now(), next_attempt_at=None)
    shown = page(console, f"{DELIVERIES}?state=pending")
    assert str(pending.pk) in shown
    assert str(delivered.pk) not in shown


def test_who_may_only_look_changes_nothing(endpoint: WebhookEndpoint) -> None:
    looker = make_user()
    User.objects.filter(pk=looker.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=looker.pk))
    assert client.get(ENDPOINTS).status_code == 403
    assert (
        client.post(ENDPOINTS, {"action": "disable", "_selected_action": [str(endpoint.pk)]}).status_code
        == 403
    )
    endpoint.refresh_from_db()
    assert endpoint.enabled

"""From the row to the receiver and back: signed, retried, given up, disabled; nobody waits for anybody."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from aigc_platform.accounts.models import User
from aigc_platform.jobs.services import request_cancel
from aigc_platform.webhooks import services
from aigc_platform.webhooks.claiming import HOLD, claim_due, note
from aigc_platform.webhooks.models import DisabledReason, FailureReason, WebhookDelivery, WebhookEndpoint
from aigc_platform.webhooks.schedule import DELAYS_SECONDS, rest
from aigc_platform.webhooks.sending import Outcome
from tests.factories.jobs import submit
from tests.factories.webhooks import let_fail_since, let_pause_pass, make_endpoint, send_due
from tests.integration.jobs.concurrency import at_once
from tests.receivers import Answer, Receiver, close_without_answer, status

pytestmark = pytest.mark.django_db

FAILED = Outcome(FailureReason.UNREACHABLE)


def delivered(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Cancel a new job of the endpoint's owner and return the message about it."""
    job = request_cancel(submit(endpoint.owner).pk, actor="test")
    return WebhookDelivery.objects.get(endpoint=endpoint, job_id=job.pk)


_SLOWEST_SEND = 60
"""Seconds an attempt may take here, beside what is checked, on however busy a machine."""


def pause_of(delivery: WebhookDelivery) -> float:
    """Return the seconds from the last attempt's claim to the next attempt."""
    row = WebhookDelivery.objects.get(pk=delivery.pk)
    assert row.next_attempt_at is not None
    assert row.last_attempt_at is not None
    return (row.next_attempt_at - row.last_attempt_at).total_seconds()


def test_a_message_arrives_signed_and_is_noted(user: User, hooks: Receiver) -> None:
    endpoint = make_endpoint(user, hooks.url)
    delivery = delivered(endpoint)

    assert send_due() == [Outcome(status_code=204)]

    [received] = hooks.received
    assert received.event_id == delivery.event_id
    assert received.verified_with(endpoint.secret) == delivery.payload
    assert received.headers["content-type"] == "application/json"
    assert received.headers["host"] == hooks.host
    with pytest.raises(WebhookVerificationError):
        received.verified_with(make_endpoint(user).secret)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.secret).verify(received.body.replace(b"canceled", b"succeeded"), received.headers)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.last_status_code) == ("delivered", 1, 204)
    endpoint.refresh_from_db()
    assert (endpoint.failures, endpoint.last_delivered_at is not None) == (0, True)
    assert send_due() == []


def test_after_a_rotation_both_secrets_verify_for_a_day(user: User, hooks: Receiver) -> None:
    old = make_endpoint(user, hooks.url)
    new = services.rotate_secret(endpoint_id=old.pk)
    delivered(old)
    send_due()
    both = hooks.received[0]
    assert both.verified_with(old.secret) == both.verified_with(new.secret)
    assert both.headers["webhook-signature"].count("v1,") == 2

    WebhookEndpoint.objects.update(previous_secret_expires_at=Now())
    delivered(old)
    send_due()
    assert hooks.received[1].verified_with(new.secret)
    with pytest.raises(WebhookVerificationError):
        hooks.received[1].verified_with(old.secret)


@pytest.mark.parametrize(
    ("answer", "failure", "code"),
    [
        (status(500), FailureReason.BAD_STATUS, 500),
        (status(404), FailureReason.BAD_STATUS, 404),
        (status(302, Location="http://127.0.0.1:1/"), FailureReason.REDIRECT, 302),
        (status(304), FailureReason.REDIRECT, 304),
        (close_without_answer, FailureReason.UNREACHABLE, None),
    ],
)
def test_every_failure_is_retried_with_the_same_id_and_a_new_signature(
    user: User, hooks: Receiver, answer: Answer, failure: FailureReason, code: int | None
) -> None:
    endpoint = make_endpoint(user, hooks.url)
    delivery = delivered(endpoint)
    hooks.answer = answer
    send_due()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.last_failure, delivery.last_status_code) == ("pending", failure, code)
    assert 5 <= pause_of(delivery) <= 5.5 + _SLOWEST_SEND

    hooks.answer = status(200)
    let_pause_pass(delivery)
    assert send_due() == [Outcome(status_code=200)]
    first, second = hooks.received
    assert first.event_id == second.event_id == delivery.event_id
    assert first.body == second.body
    assert first.verified_with(endpoint.secret) == second.verified_with(endpoint.secret)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.last_failure) == ("delivered", 2, "")


def test_the_pauses_follow_the_schedule_and_then_it_has_failed_visibly(user: User) -> None:
    endpoint = make_endpoint(user)
    delivery = delivered(endpoint)
    for planned in DELAYS_SECONDS:
        [claimed] = claim_due(5)
        note(claimed, FAILED)
        assert planned <= pause_of(delivery) <= planned * 1.1 + _SLOWEST_SEND
        let_pause_pass(delivery)
    [claimed] = claim_due(5)
    note(claimed, FAILED)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.next_attempt_at) == ("failed", 10, None)

    services.redeliver(delivery_id=delivery.pk)
    [claimed] = claim_due(5)
    note(claimed, FAILED)
    assert 5 <= pause_of(delivery) <= 5.5 + _SLOWEST_SEND, "sending again begins the schedule anew"


def test_a_receiver_that_asks_for_time_gets_it(user: User, hooks: Receiver) -> None:
    delivery = delivered(make_endpoint(user, hooks.url))
    hooks.answer = status(503, Retry_After="120")
    send_due()
    assert 120 <= pause_of(delivery) <= 120 + _SLOWEST_SEND


def test_gone_disables_at_once_and_the_owners_other_endpoints_hear_of_it(user: User, hooks: Receiver) -> None:
    endpoint = make_endpoint(user, hooks.url)
    other = make_endpoint(user, hooks.url, event_types=["webhook_endpoint.disabled"])
    delivered(endpoint)
    hooks.answer = status(410)
    send_due()
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, DisabledReason.GONE)

    hooks.answer = status(204)
    send_due()
    told = hooks.received[-1].verified_with(other.secret)
    assert (told["type"], told["data"]["id"]) == ("webhook_endpoint.disabled", str(endpoint.pk))
    assert told["data"]["disabled_reason"] == "gone"
    assert send_due() == [], "what waits for a disabled endpoint keeps waiting"
    assert WebhookDelivery.objects.get(endpoint=endpoint).status == "pending"


@pytest.mark.parametrize(("age", "enabled"), [(timedelta(days=2.9), True), (timedelta(days=3.1), False)])
def test_three_days_of_nothing_but_failures_disable(user: User, age: timedelta, enabled: bool) -> None:
    endpoint = make_endpoint(user)
    delivery = delivered(endpoint)
    let_fail_since(endpoint, age)
    [claimed] = claim_due(5)
    note(claimed, FAILED)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (enabled, "" if enabled else "failing")

    services.change_endpoint(endpoint_id=endpoint.pk, enabled=True)
    let_pause_pass(delivery)
    [claimed] = claim_due(5)
    note(claimed, FAILED)
    endpoint.refresh_from_db()
    assert endpoint.enabled is True or enabled, "enabling it by hand forgives the past"


def test_a_success_forgives(user: User) -> None:
    endpoint = make_endpoint(user)
    first, second = delivered(endpoint), delivered(endpoint)
    [claimed] = claim_due(5)
    note(claimed, FAILED)
    let_pause_pass(first)
    [claimed] = claim_due(5)
    note(claimed, Outcome(status_code=200))
    endpoint.refresh_from_db()
    assert (endpoint.failures, endpoint.failing_since) == (0, None)
    assert {first.pk, second.pk} >= {claimed.delivery.pk}


def test_one_endpoint_is_sent_to_by_one_sender_at_a_time_and_rests_after_a_failure(user: User) -> None:
    endpoint, other = make_endpoint(user), make_endpoint(user)
    oldest, _newer = delivered(endpoint), delivered(endpoint)
    # After the next failure it rests as long as it ever does: the test may take its time.
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failures=20)
    claims = claim_due(5)
    assert {claimed.delivery.endpoint_id for claimed in claims} == {endpoint.pk, other.pk}
    assert oldest.pk in {claimed.delivery.pk for claimed in claims}
    assert claim_due(5) == []

    for claimed in claims:
        note(claimed, FAILED if claimed.delivery.endpoint_id == endpoint.pk else Outcome(status_code=200))
    assert [claimed.delivery.endpoint_id for claimed in claim_due(5)] == [other.pk]
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(send_after=F("send_after") - rest(20))
    assert [claimed.delivery.endpoint_id for claimed in claim_due(5)] == [endpoint.pk]


def test_a_sender_that_was_away_too_long_may_note_a_success_but_no_failure(user: User) -> None:
    endpoint = make_endpoint(user)
    delivery = delivered(endpoint)
    [stale] = claim_due(5)
    assert pause_of(delivery) == HOLD.total_seconds()
    let_pause_pass(delivery)
    [fresh] = claim_due(5)
    assert (stale.attempt, fresh.attempt) == (1, 2)
    assert stale.message.event_id == fresh.message.event_id

    note(stale, FAILED)
    assert pause_of(delivery) == HOLD.total_seconds(), "the fresh sender's hold stands"
    note(stale, Outcome(status_code=200))
    delivery.refresh_from_db()
    assert delivery.status == "delivered"
    note(fresh, FAILED)
    delivery.refresh_from_db()
    assert delivery.status == "delivered", "what has arrived has arrived"


@pytest.mark.django_db(transaction=True)
def test_several_senders_at_once_take_each_message_once(user: User) -> None:
    endpoints = [make_endpoint(user, event_types=["job.queued"]) for _ in range(6)]
    submit(user)
    taken = at_once([lambda: claim_due(3)] * 4)
    rows = [
        claimed.delivery.endpoint_id for claims in taken if isinstance(claims, list) for claimed in claims
    ]
    assert len(rows) == len(set(rows))
    while more := claim_due(3):
        rows += [claimed.delivery.endpoint_id for claimed in more]
    assert sorted(rows) == sorted(endpoint.pk for endpoint in endpoints)


@pytest.mark.django_db(transaction=True)
def test_a_job_moves_on_while_its_endpoint_is_being_claimed_noted_or_changed(user: User) -> None:
    endpoint = make_endpoint(user)
    job = submit(user)
    held, release = threading.Event(), threading.Event()

    def hold_the_row() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "SELECT id FROM webhooks_webhookendpoint WHERE id = %s FOR NO KEY UPDATE", [endpoint.pk]
            )
            cursor.execute("UPDATE webhooks_webhookendpoint SET failures = 1 WHERE id = %s", [endpoint.pk])
            held.set()
            release.wait(20)
            cursor.execute("ROLLBACK")

    def cancel() -> None:
        assert held.wait(20)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        try:
            request_cancel(job.pk, actor="test")
        finally:
            release.set()

    calls: list[Callable[[], None]] = [hold_the_row, cancel]
    assert at_once(calls) == []
    assert WebhookDelivery.objects.get().event_type == "job.canceled"


def test_an_allowance_that_was_taken_back_stops_messages(
    user: User, hooks: Receiver, settings: LazySettings
) -> None:
    delivery = delivered(make_endpoint(user, hooks.url))
    settings.WEBHOOK_ALLOWED_HOSTS = frozenset()
    assert send_due() == [Outcome(FailureReason.ADDRESS_REFUSED)]
    assert hooks.received == []
    delivery.refresh_from_db()
    assert (delivery.status, delivery.last_failure) == ("pending", "address_refused")

"""The engine's loop: a receiver that hangs holds up nobody, and what the database did not take is noted later."""

import threading
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.db import OperationalError

from aigc_platform.accounts.models import User
from aigc_platform.webhooks import sender as sender_module
from aigc_platform.webhooks.claiming import Claimed, note
from aigc_platform.webhooks.models import WebhookDelivery, WebhookEndpoint
from aigc_platform.webhooks.sender import Sender
from aigc_platform.webhooks.sending import Outcome
from aigc_platform.webhooks.services import send_test
from tests.factories.webhooks import make_endpoint, never
from tests.receivers import Receiver, hang_until, receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def sender() -> Iterator[Sender]:
    running = Sender()
    yield running
    running.close()


def step_until_delivered(sender: Sender, *deliveries: WebhookDelivery) -> None:
    for _ in range(100):
        sender.step(never())
        rows = WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])
        if not rows.filter(delivered_at__isnull=True).exists():
            return
    raise AssertionError("not delivered in 100 steps")


def queued_tests(endpoint: WebhookEndpoint, count: int = 1) -> list[WebhookDelivery]:
    return [send_test(endpoint_id=endpoint.pk) for _ in range(count)]


def test_a_hanging_receiver_with_a_backlog_holds_up_nobody(
    sender: Sender, user: User, hooks: Receiver, settings: LazySettings
) -> None:
    released = threading.Event()
    with receiver(hang_until(released)) as hanging:
        settings.WEBHOOK_ALLOWED_HOSTS |= {hanging.host}
        try:
            stuck = queued_tests(make_endpoint(user, hanging.url), 20)
            sender.step(never())
            step_until_delivered(sender, *queued_tests(make_endpoint(user, hooks.url), 5))
            assert len(hooks.received) == 5
            assert len(hanging.received) < 5
        finally:
            released.set()
    rows = WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in stuck])
    # One, or a few on a machine so busy that attempts end by their timeout in between; never the backlog.
    assert 1 <= sum(delivery.attempts for delivery in rows) < 5


def test_what_the_database_did_not_take_is_noted_in_the_next_round(
    sender: Sender, user: User, hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [OperationalError("the server closed the connection"), OperationalError("and again")]

    def note_at_the_third_try(claimed: Claimed, outcome: Outcome) -> None:
        if refusals:
            raise refusals.pop()
        note(claimed, outcome)

    monkeypatch.setattr(sender_module, "note", note_at_the_third_try)
    [delivery] = queued_tests(make_endpoint(user, hooks.url))
    caught = 0
    for _ in range(100):
        try:
            sender.step(never())
        except OperationalError:
            caught += 1
        delivery.refresh_from_db()
        if delivery.status == "delivered":
            break
    assert (delivery.status, caught, len(hooks.received)) == ("delivered", 2, 1)


def test_a_loop_that_is_closed_notes_what_has_ended_and_starts_nothing(user: User, hooks: Receiver) -> None:
    first, second = queued_tests(make_endpoint(user, hooks.url), 2)
    running = Sender()
    running.step(never())
    running.close()
    for delivery in (first, second):
        delivery.refresh_from_db()
    assert (first.status, second.status, second.attempts) == ("delivered", "pending", 0)
    assert [item.event_id for item in hooks.received] == [first.event_id]

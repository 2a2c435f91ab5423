"""Fault 20: receivers that hang, fail, redirect inside or go away, and an engine killed after sending (promise P8)."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
import redis
from django.core.management import call_command
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from aigc_platform.accounts.models import User
from aigc_platform.jobs.models import Job
from aigc_platform.storage.object_store import get_object_store
from aigc_platform.webhooks.event_types import EventType
from aigc_platform.webhooks.models import WebhookDelivery, WebhookEndpoint
from tests.factories.webhooks import let_pause_pass, make_endpoint
from tests.faults.stack import FaultStack, assert_result_is_right, wait_for_end
from tests.processes import wait_for
from tests.receivers import Answer, Received, Receiver, close_without_answer, hang_until, receiver, status
from tests.services import Services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

_WHOLE_LIFE = [kind.value for kind in EventType if kind.startswith("job.")]


@pytest.fixture(scope="module")
def inside() -> Iterator[Receiver]:
    """A service of the platform's own network, which no webhook may reach."""
    with receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def good() -> Iterator[Receiver]:
    with receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def bad() -> Iterator[Receiver]:
    with receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    services: Services,
    good: Receiver,
    bad: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultStack]:
    """One engine that may send to two receivers of this machine, and one worker."""
    allowed = [good.host, bad.host]
    with override_settings(WEBHOOK_ALLOWED_HOSTS=frozenset(allowed)), django_db_blocker.unblock():
        redis.Redis.from_url(services.broker_url).flushall()
        get_object_store().ensure_bucket()
        started = FaultStack(tmp_path_factory.mktemp("faults"), WEBHOOK_ALLOWED_HOSTS=",".join(allowed))
        try:
            yield started
        finally:
            started.stop()
            call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(autouse=True)
def _fresh(stack: FaultStack, good: Receiver, bad: Receiver) -> None:
    """Endpoints of the last test are gone; both receivers answer, and have heard nothing."""
    # Not at a test's end: its jobs are held against the invariants then, and I7 asks for the endpoints.
    WebhookEndpoint.objects.all().delete()
    for listening in (good, bad):
        listening.answer = status(204)
        listening.received.clear()
    stack.need_engines(1)


def _endpoint(owner: User, url: str) -> WebhookEndpoint:
    """Register an endpoint as if it had been there for an hour, so that I7 counts on it."""
    endpoint = make_endpoint(owner, url, _WHOLE_LIFE)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(listening_since=Now() - timedelta(hours=1))
    return endpoint


def _about(received: list[Received], job: Job) -> list[Received]:
    return [item for item in list(received) if item.payload["data"]["id"] == str(job.pk)]


def _messages(endpoint: WebhookEndpoint, job: Job) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(endpoint=endpoint, job_id=job.pk)


def _wait_for_whole_life(listening: Receiver, endpoint: WebhookEndpoint, job: Job) -> list[Received]:
    """Wait until each recorded event has arrived; return the requests."""
    expected = {delivery.event_id for delivery in _messages(endpoint, job)}

    def arrived() -> bool:
        return {item.event_id for item in _about(listening.received, job)} == expected

    wait_for(arrived, seconds=60, what=f"{len(expected)} messages about {job}")
    return _about(listening.received, job)


@pytest.mark.fault(20)
@pytest.mark.parametrize("how", ["hangs", "answers 500", "redirects inside", "closes"])
def test_a_bad_receiver_harms_neither_the_job_nor_the_other_receiver(
    stack: FaultStack, good: Receiver, bad: Receiver, inside: Receiver, how: str
) -> None:
    released = threading.Event()
    answers: dict[str, Answer] = {
        "hangs": hang_until(released),
        "answers 500": status(500),
        "redirects inside": status(302, Location=inside.url),
        "closes": close_without_answer,
    }
    bad.answer = answers[how]
    stack.need_workers(1)
    endpoint, other = _endpoint(stack.owner, bad.url), _endpoint(stack.owner, good.url)
    job = stack.submit(steps=5)

    assert_result_is_right(wait_for_end(job))
    wait_for(lambda: _about(bad.received, job), seconds=90, what="first attempt at the bad receiver")
    for received in _wait_for_whole_life(good, other, job):
        assert received.verified_with(other.secret)["data"]["id"] == str(job.pk)
    assert inside.received == []
    assert not _messages(endpoint, job).filter(delivered_at__isnull=False).exists()
    assert _messages(endpoint, job).count() == _messages(other, job).count() >= 4

    released.set()
    bad.answer = status(204)
    wait_for(
        lambda: _all_arrived(endpoint, job), seconds=60, what="delivery to a receiver that is good again"
    )
    ids = [item.event_id for item in _about(bad.received, job)]
    assert len(ids) > len(set(ids)), "the first attempt and the one that arrived have one id"


def _all_arrived(endpoint: WebhookEndpoint, job: Job) -> bool:
    """Tell whether nothing waits any more; let the pauses of what was tried in vain pass."""
    waiting = _messages(endpoint, job).filter(delivered_at__isnull=True)
    for delivery in waiting.filter(attempts__gt=0):
        let_pause_pass(delivery)
    return not waiting.exists()


@pytest.mark.fault(20)
def test_an_engine_killed_between_send_and_note_sends_again_with_the_same_id(
    stack: FaultStack, good: Receiver
) -> None:
    endpoint = _endpoint(stack.owner, good.url)
    engines = list(stack.need_engines(1))

    def kill_the_engine(request: BaseHTTPRequestHandler) -> None:
        for engine in engines:
            engine.kill()
            engine.wait()
        status(204)(request)

    good.answer = kill_the_engine
    job = stack.submit(steps=5)
    [first, *_] = wait_for(lambda: _about(good.received, job), seconds=90, what="the message")
    wait_for(
        lambda: all(engine.poll() is not None for engine in engines), seconds=60, what="death of the engine"
    )
    delivery = _messages(endpoint, job).get(event_id=first.event_id)
    assert (delivery.status, delivery.attempts) == ("pending", 1)

    good.answer = status(204)
    let_pause_pass(delivery)
    stack.need_engines(1)
    wait_for(
        lambda: WebhookDelivery.objects.filter(pk=delivery.pk, delivered_at__isnull=False, attempts=2),
        seconds=60,
        what="second attempt",
    )
    [again, second] = [item for item in good.received if item.event_id == delivery.event_id]
    assert again.body == first.body == second.body
    assert second.verified_with(endpoint.secret) == first.payload

    stack.need_workers(1)
    assert_result_is_right(wait_for_end(job))
    _wait_for_whole_life(good, endpoint, job)


@pytest.mark.fault(20)
def test_messages_wait_while_no_engine_runs(stack: FaultStack, good: Receiver) -> None:
    for engine in stack.engines:
        engine.kill()
        engine.wait()
    endpoint = _endpoint(stack.owner, good.url)
    job = stack.submit(steps=5)
    assert _messages(endpoint, job).get().status == "pending"
    assert good.received == []

    stack.need_engines(2)
    stack.need_workers(1)
    assert_result_is_right(wait_for_end(job))
    received = _wait_for_whole_life(good, endpoint, job)
    assert received[0].payload["type"] == "job.queued"
    assert {item.payload["type"] for item in received} >= {"job.queued", "job.running", "job.succeeded"}

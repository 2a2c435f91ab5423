"""The relay against a real broker: rings arrive, wait while it is away, and say nothing."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from celery import Celery
from django.db import transaction
from django.db.models.functions import Now

from aigc_platform.celery import app
from aigc_platform.jobs import reaper
from aigc_platform.jobs.fleet import retire_worker
from aigc_platform.jobs.models import Job, Outbox
from aigc_platform.jobs.outbox import write_ring
from aigc_platform.jobs.relay import RING_TASK, publish_pending
from aigc_platform.standalone.ports import free_ports
from tests.factories.jobs import RIGID, TOY, make_worker, submit
from tests.integration.jobs.concurrency import at_once
from tests.services import Services

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def broker(services: Services) -> Iterator[redis.Redis]:
    """A client of the real broker, empty before the test."""
    client = redis.Redis.from_url(services.broker_url)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def broker_is_away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody listens at the broker's address until `undo` is called."""
    [port] = free_ports(1)
    monkeypatch.setitem(app.conf, "broker_url", f"redis://127.0.0.1:{port}/0")
    return monkeypatch


def _messages(broker: redis.Redis, queue: str) -> list[dict[str, object]]:
    return [json.loads(raw) for raw in broker.lrange(queue, 0, -1)]


def test_a_submission_rings_its_queue_and_the_message_names_no_job(broker: redis.Redis) -> None:
    job = submit(kind=RIGID.name, labels={"secret": "label"})
    assert publish_pending(app) == 1
    assert publish_pending(app) == 0
    [message] = _messages(broker, RIGID.queue)
    assert broker.llen(TOY.queue) == 0
    headers = message["headers"]
    assert isinstance(headers, dict)
    assert headers["task"] == RING_TASK
    args, kwargs, _ = json.loads(base64.b64decode(str(message["body"])))
    assert (args, kwargs) == ([], {})
    everything = json.dumps(message) + base64.b64decode(str(message["body"])).decode()
    for private in (str(job.pk), job.pk.hex, str(job.owner_id), "label", job.spec_sha256):
        assert private not in everything
    assert message["content-type"] == "application/json"
    row = Outbox.objects.get()
    assert (row.published_at is not None, row.tries) == (True, 1)


def test_while_the_broker_is_away_rings_wait_and_then_all_are_sent(
    broker: redis.Redis, broker_is_away: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        make_worker(TOY.queue)
        submit()
    assert publish_pending(app) == 0
    rows = Outbox.objects.annotate(now=Now())
    assert [(row.published_at, row.tries) for row in rows] == [(None, 1)] * 3
    assert all(timedelta() < row.available_at - row.now <= timedelta(seconds=1) for row in rows)

    broker_is_away.undo()
    assert publish_pending(app) == 0, "the back-off has not passed"
    Outbox.objects.update(available_at=Now())
    assert publish_pending(app) == 3
    assert broker.llen(TOY.queue) == 3
    assert Job.objects.count() == 3


def test_the_back_off_grows_to_half_a_minute(broker_is_away: pytest.MonkeyPatch) -> None:
    submit()
    pauses = []
    for tries in (0, 3, 4, 5, 60):
        Outbox.objects.update(available_at=Now(), tries=tries)
        publish_pending(app)
        row = Outbox.objects.annotate(now=Now()).get()
        pauses.append((row.available_at - row.now).total_seconds())
    assert pauses == pytest.approx([1, 8, 16, 30, 30], abs=0.5)


def test_a_broker_that_refuses_us_in_the_middle_costs_nothing(
    broker: redis.Redis, services: Services
) -> None:
    # WRONGTYPE: the queue's key holds something that is no list.
    broker.set(TOY.queue, "not a list")
    submit()
    assert publish_pending(app) == 0
    assert Outbox.objects.get().published_at is None
    broker.delete(TOY.queue)
    Outbox.objects.update(available_at=Now())
    assert publish_pending(app) == 1
    assert broker.llen(TOY.queue) == 1


@pytest.mark.parametrize(("workers", "rings"), [(0, 1), (1, 1), (3, 3)])
def test_no_more_rings_wait_than_there_are_workers_to_wake(
    broker: redis.Redis, workers: int, rings: int
) -> None:
    for _ in range(workers):
        make_worker(TOY.queue)
    make_worker(RIGID.queue)
    retire_worker(make_worker(TOY.queue))
    for _ in range(120):
        write_ring(TOY.queue)
    while publish_pending(app):
        pass
    assert broker.llen(TOY.queue) == rings
    assert not Outbox.objects.filter(published_at__isnull=True).exists()


def test_a_ring_for_a_silent_queue_is_skipped_where_rings_wait(broker: redis.Redis) -> None:
    write_ring(TOY.queue, only_if_silent=True)
    write_ring(TOY.queue, only_if_silent=True)
    assert publish_pending(app) == 2
    assert broker.llen(TOY.queue) == 1


def test_after_the_broker_was_wiped_waiting_queues_are_rung_again(broker: redis.Redis) -> None:
    submit(kind=TOY.name)
    submit(kind=RIGID.name)
    assert publish_pending(app) == 2
    broker.flushall()
    Outbox.objects.update(created_at=Now() - timedelta(seconds=11))
    assert reaper.ring_silent_queues() == 2
    assert publish_pending(app) == 2
    assert (broker.llen(TOY.queue), broker.llen(RIGID.queue)) == (1, 1)


def test_a_delayed_ring_is_sent_when_it_is_due(broker: redis.Redis) -> None:
    write_ring(TOY.queue, delay_seconds=60)
    assert publish_pending(app) == 0
    Outbox.objects.update(available_at=Now())
    assert publish_pending(app) == 1


@pytest.mark.django_db(transaction=True)
def test_several_relays_at_once_send_each_ring_once(broker: redis.Redis) -> None:
    for _ in range(40):
        make_worker(TOY.queue)
        write_ring(TOY.queue)
    at_once([lambda: publish_pending(app)] * 4)
    assert broker.llen(TOY.queue) == 40


class _CrashError(Exception):
    pass


def _publish_and_crash() -> None:
    with transaction.atomic():
        publish_pending(app)
        raise _CrashError


@pytest.mark.django_db(transaction=True)
def test_a_crash_between_publish_and_commit_sends_twice_and_loses_nothing(broker: redis.Redis) -> None:
    make_worker(TOY.queue)
    make_worker(TOY.queue)
    submit()
    with pytest.raises(_CrashError):
        _publish_and_crash()
    assert Outbox.objects.get().published_at is None
    publish_pending(app)
    assert broker.llen(TOY.queue) == 2


def test_the_app_refuses_queues_it_does_not_know() -> None:
    assert isinstance(app, Celery)
    assert set(app.amqp.queues) == {"gpu.train", "gpu.sample", "cpu.io"}
    with pytest.raises(Exception, match=r"cpu\.oi"):
        app.send_task(RING_TASK, queue="cpu.oi")

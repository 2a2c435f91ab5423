"""The engine's loops as they run: real threads, a real database, a real broker."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis
from django.conf import LazySettings
from django.db import connection
from django.db.models.functions import Now

from aigc_platform.celery import app
from aigc_platform.jobs.engine import Engine, wait_for_notification
from aigc_platform.jobs.models import Job, Outbox
from aigc_platform.jobs.outbox import notify
from aigc_platform.jobs.states import JobStatus
from tests.factories.jobs import TOY, claim_new, let_lease_expire, make_worker, submit
from tests.integration.jobs.concurrency import at_once
from tests.services import Services

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broker(services: Services) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(services.broker_url)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def engine(settings: LazySettings, broker: redis.Redis) -> Iterator[Engine]:
    """A running engine with leases of two seconds."""
    settings.LEASE_SECONDS = 2
    settings.REAPER_INTERVAL_SECONDS = 0.1
    running = Engine(app)
    thread = threading.Thread(target=running.run)
    thread.start()
    yield running
    running.stop()
    thread.join(timeout=10)
    assert not thread.is_alive(), "the engine did not stop"


def _wait_until(is_true: Callable[[], bool], seconds: float = 10) -> float:
    """Return how long it took."""
    started = time.monotonic()
    while not is_true():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - started


def test_a_submission_reaches_the_broker_within_a_second(engine: Engine, broker: redis.Redis) -> None:
    submit()
    assert _wait_until(lambda: broker.llen(TOY.queue) == 1) < 1


def test_leases_expire_only_after_one_lease_of_the_engines_own_life(engine: Engine) -> None:
    claim = claim_new()
    let_lease_expire(claim)
    time.sleep(1)
    assert Job.objects.get().status == JobStatus.STARTING
    _wait_until(lambda: Job.objects.get().status == JobStatus.QUEUED)


def test_the_loops_go_on_after_their_sessions_were_ended(engine: Engine, broker: redis.Redis) -> None:
    for round_number in range(1, 4):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        make_worker(TOY.queue)
        submit()
        _wait_until(lambda count=round_number: broker.llen(TOY.queue) >= count)  # type: ignore[misc]  # mypy cannot type defaults


def test_a_late_start_expires(engine: Engine) -> None:
    job = submit(start_within_seconds=60)
    Job.objects.filter(pk=job.pk).update(start_deadline_at=Now() - timedelta(seconds=1))
    _wait_until(lambda: Job.objects.get().status == JobStatus.EXPIRED)


def test_an_engine_waits_for_the_broker_and_sends_then(
    engine: Engine, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setitem(app.conf, "broker_url", "redis://127.0.0.1:1/0")
        submit()
        _wait_until(lambda: Outbox.objects.filter(tries__gt=0).exists())
    _wait_until(lambda: broker.llen(TOY.queue) == 1)


def test_a_notification_wakes_its_waiter_at_once_with_its_payload() -> None:
    heard: list[str | None] = []

    def wait() -> None:
        heard.append(wait_for_notification("aigc_test", 10))

    def send() -> None:
        time.sleep(0.3)
        notify("aigc_test", "payload")

    started = time.monotonic()
    at_once([wait, send])
    assert heard == ["payload"]
    assert time.monotonic() - started < 3


def test_without_a_notification_the_wait_ends_at_its_time() -> None:
    started = time.monotonic()
    assert wait_for_notification("aigc_test", 0.2) is None
    assert 0.15 < time.monotonic() - started < 1


def test_a_notification_sent_between_two_waits_is_not_lost() -> None:
    sent = threading.Event()
    waiting = threading.Event()
    heard: list[str | None] = []

    def wait_twice() -> None:
        assert wait_for_notification("aigc_test", 0.05) is None
        waiting.set()
        sent.wait(5)
        heard.append(wait_for_notification("aigc_test", 5))

    def send() -> None:
        waiting.wait(5)
        notify("aigc_test", "between")
        sent.set()

    started = time.monotonic()
    at_once([wait_twice, send])
    assert heard == ["between"]
    assert time.monotonic() - started < 4

"""Faults 6, 7 and 8: a broker that dies, forgets, freezes, cuts connections, repeats itself or is lied to."""

import base64
import json
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from aigc_platform.jobs.models import Job
from aigc_platform.jobs.relay import RING_TASK
from aigc_platform.storage.object_store import get_object_store
from tests.faults.broker import Broker
from tests.faults.figures import Figures
from tests.faults.stack import FaultStack, assert_result_is_right, attempts, wait_for_end
from tests.processes import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

_QUEUE = "cpu.io"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    started = Broker(tmp_path_factory.mktemp("broker"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    broker: Broker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultStack]:
    """Two engines and two workers on this module's broker."""
    with django_db_blocker.unblock():
        get_object_store().ensure_bucket()
        started = FaultStack(tmp_path_factory.mktemp("faults"), BROKER_URL=broker.valkey.url)
        started.start_engine()
        started.start_engine()
        try:
            yield started
        finally:
            started.stop()
            call_command("flush", interactive=False, verbosity=0)


def _seconds_until_all_succeed(jobs: list[Job]) -> float:
    started = time.monotonic()
    for job in jobs:
        assert_result_is_right(wait_for_end(job))
    return time.monotonic() - started


def _first_step(stack: FaultStack, jobs: list[Job]) -> float:
    """When the first of these jobs began, by the runners' clock, which is ours."""
    return min(step.at for job in jobs for step in stack.steps(job))


@pytest.mark.fault(6)
def test_a_killed_and_emptied_broker_delays_jobs_and_loses_none(
    stack: FaultStack, broker: Broker, figures: Figures
) -> None:
    stack.need_workers(2)
    running = stack.submit(steps=60, seed=1)
    stack.wait_for_step(running, 1)
    broker.kill()
    submitted = [stack.submit(steps=3, seed=seed) for seed in range(6)]
    stack.wait_for_step(running, 20)
    broker.start_again_empty()
    back = time.monotonic()
    assert _seconds_until_all_succeed([*submitted, running]) < 45
    assert len(attempts(running)) == 1, "a job that ran was disturbed"
    assert running.recoveries == 0
    figures.recovered(_first_step(stack, submitted) - back)


@pytest.mark.fault(6)
def test_a_wiped_broker_is_rung_again(stack: FaultStack, broker: Broker) -> None:
    stack.need_workers(2)
    busy = [stack.submit(steps=20, seed=seed) for seed in range(2)]
    waiting = [stack.submit(steps=2, seed=seed) for seed in range(4)]
    broker.client().flushall()
    assert _seconds_until_all_succeed([*busy, *waiting]) < 45


@pytest.mark.fault(7)
def test_a_frozen_broker_and_a_storm_of_broken_connections_start_no_job_twice(
    stack: FaultStack, broker: Broker, figures: Figures
) -> None:
    stack.need_workers(2)
    running = stack.submit(steps=50, seed=2)
    stack.wait_for_step(running, 1)
    broker.freeze()
    submitted = [stack.submit(steps=3, seed=seed) for seed in range(4)]
    stack.wait_for_step(running, 30)
    broker.thaw()
    back = time.monotonic()
    client = broker.client()
    for _ in range(5):
        client.client_kill_filter(_type="normal", skipme=True)
        time.sleep(0.3)
    _seconds_until_all_succeed([*submitted, running])
    for job in (*submitted, running):
        assert len(attempts(job)) == 1
        numbers = [step.number for step in stack.steps(job)]
        assert numbers == sorted(set(numbers)), "a step was executed twice"
    figures.recovered(max(0.0, _first_step(stack, submitted) - back))


def _publish(broker: Broker, *, task: str = RING_TASK, body: bytes | None = None, **headers: object) -> None:
    """Put a message on the queue as anybody with the broker's password can."""
    content = body if body is not None else json.dumps([[], {}, {}]).encode()
    message: dict[str, object] = {
        "body": base64.b64encode(content).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": str(uuid4()), "argsrepr": "()", "kwargsrepr": "{}"},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": _QUEUE},
            "delivery_tag": str(uuid4()),
            "body_encoding": "base64",
        },
    }
    message.update(headers)
    broker.client().lpush(_QUEUE, json.dumps(message))


def _wait_until_consumed(broker: Broker) -> None:
    client = broker.client()
    wait_for(lambda: client.llen(_QUEUE) == 0, seconds=30, what="an empty queue")


@pytest.mark.fault(8)
def test_a_hundred_copies_of_a_ring_claim_each_job_once(stack: FaultStack, broker: Broker) -> None:
    stack.need_workers(2)
    jobs = [stack.submit(steps=4, seed=seed) for seed in range(3)]
    for _ in range(100):
        _publish(broker)
    _seconds_until_all_succeed(jobs)
    _wait_until_consumed(broker)
    for job in jobs:
        job.refresh_from_db()
        assert (len(attempts(job)), job.fence) == (1, 2)


@pytest.mark.fault(8)
def test_forged_and_broken_messages_do_nothing_and_the_next_job_runs(
    stack: FaultStack, broker: Broker
) -> None:
    stack.need_workers(2)
    marker = stack.folder / "owned"
    pickled = b"cposix\nsystem\n(S'touch %s'\ntR." % str(marker).encode()
    _publish(broker, body=pickled, **{"content-type": "application/x-python-serialize"})
    _publish(broker, body=pickled)
    _publish(broker, task="os.system", body=json.dumps([[f"touch {marker}"], {}, {}]).encode())
    _publish(broker, body=json.dumps([["gpu.train", 7], {"job_id": str(uuid4())}, {}]).encode())
    _publish(broker, body=b"\xff not json")
    _wait_until_consumed(broker)
    job = stack.submit(steps=3, seed=9)
    assert_result_is_right(wait_for_end(job))
    assert not marker.exists()
    assert all(worker.poll() is None for worker in stack.need_workers(2)), "a worker died of a message"


@pytest.mark.fault(7)
def test_the_api_and_the_engine_never_wait_for_the_broker_in_a_request(
    stack: FaultStack, broker: Broker
) -> None:
    stack.need_workers(2)
    broker.freeze()
    try:
        started = time.monotonic()
        job = stack.submit(steps=1, seed=3)
        assert time.monotonic() - started < 1
    finally:
        broker.thaw()
    assert_result_is_right(wait_for_end(job))

"""Faults 4, 12, 17 and 18: holders that come back from the dead, workers cut off, restarts, engines killed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from aigc_platform.jobs.models import Artifact, Job, JobEvent, Outbox
from aigc_platform.jobs.states import JobStatus
from aigc_platform.storage.object_store import get_object_store
from tests.faults.addresses import (
    broker_proxy,
    broker_url,
    database_proxy,
    database_url,
    store_proxy,
    store_url,
)
from tests.faults.figures import Figures
from tests.faults.proxy import Fault, Proxy
from tests.faults.stack import (
    LEASE_SECONDS,
    FaultStack,
    assert_result_is_right,
    attempts,
    child_of,
    is_gone,
    ready_workers,
    wait_for_end,
)
from tests.probe.apps import STOP
from tests.processes import runner_of, wait_for
from tests.services import Services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


class Network:
    """What lies between one worker and the servers."""

    def __init__(self, services: Services) -> None:
        self.database = database_proxy(services)
        self.broker = broker_proxy(services)
        self.store = store_proxy(services)
        self.environment = {
            "DATABASE_URL": database_url(services, self.database),
            "BROKER_URL": broker_url(services, self.broker),
            "S3_ENDPOINT_URL": store_url(self.store),
        }

    @property
    def proxies(self) -> list[Proxy]:
        return [self.database, self.broker, self.store]


@pytest.fixture(scope="module")
def network(services: Services) -> Iterator[Network]:
    made = Network(services)
    yield made
    for proxy in made.proxies:
        proxy.close()


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    network: Network,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultStack]:
    """Two engines. Tests start the workers: some behind a network of their own."""
    with django_db_blocker.unblock():
        get_object_store().ensure_bucket()
        started = FaultStack(tmp_path_factory.mktemp("faults"))
        started.start_engine()
        started.start_engine()
        try:
            yield started
        finally:
            started.stop()
            call_command("flush", interactive=False, verbosity=0)


def _assert_one_holder_published(stack: FaultStack, job: Job) -> None:
    """The second attempt's results alone, with nothing written by the first after it was shut out."""
    assert_result_is_right(job)
    first, second = attempts(job)[:2]
    assert (first.outcome, second.outcome) == ("lease_lost", "succeeded")
    assert set(Artifact.objects.filter(job=job).values_list("fence", flat=True)) == {second.fence}
    taken = JobEvent.objects.filter(job=job, data__to=JobStatus.QUEUED).earliest("seq").seq
    late = JobEvent.objects.filter(job=job, seq__gt=taken, actor=f"worker:{first.worker.name}")
    assert not late.exists() or first.worker_id == second.worker_id


@pytest.mark.fault(4)
def test_a_holder_that_wakes_up_late_is_refused_and_its_runner_ends(
    stack: FaultStack, figures: Figures
) -> None:
    stack.need_workers(2)
    job = stack.submit(steps=60, seed=1)
    stack.wait_for_step(job, 6)
    holder = stack.holder_of(job)
    child, runner = child_of(holder), runner_of(holder)
    os.kill(child.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    rerun = stack.wait_for_step(job, 1, attempt=2, seconds=LEASE_SECONDS + 40)
    figures.recovered(rerun.at - stopped)
    os.kill(child.pid, signal.SIGCONT)
    woken = time.monotonic()
    wait_for(lambda: is_gone(runner), seconds=20, what="end of the old runner")
    figures.measured("old runner gone after its holder woke (s)", time.monotonic() - woken)
    wait_for_end(job)
    _assert_one_holder_published(stack, job)


@pytest.mark.fault(4)
def test_a_holder_that_stops_in_the_middle_of_a_write_does_not_keep_its_job(
    stack: FaultStack, figures: Figures
) -> None:
    stack.need_workers(2)
    job = stack.submit(steps=40, seed=4)
    stack.wait_for_step(job, 6)
    child = child_of(stack.holder_of(job))
    request = stack.folder / "lease.renewing"
    request.write_text(STOP)
    wait_for(lambda: not request.exists(), seconds=20, what="the holder's next beat")
    stopped = time.monotonic()
    rerun = stack.wait_for_step(job, 1, attempt=2, seconds=LEASE_SECONDS + 40)
    figures.recovered(rerun.at - stopped)
    child.resume()
    wait_for_end(job)
    _assert_one_holder_published(stack, job)


@pytest.mark.fault(12)
def test_a_worker_cut_off_from_everything_is_replaced_and_fenced_when_it_returns(
    stack: FaultStack, network: Network, figures: Figures
) -> None:
    stack.stop_workers()
    cut_off = stack.start_worker(**network.environment)
    stack.need_workers(1)
    job = stack.submit(steps=200, seed=2)
    stack.wait_for_step(job, 6)
    runner = runner_of(cut_off)
    with ExitStack() as cut:
        for proxy in network.proxies:
            cut.enter_context(proxy.broken(Fault("drop")))
        cut_at = time.monotonic()
        stack.start_worker()
        rerun = stack.wait_for_step(job, 1, attempt=2, seconds=LEASE_SECONDS + 40)
        figures.recovered(rerun.at - cut_at)
        assert not is_gone(runner), "a runner computes on while its worker is cut off"
    healed = time.monotonic()
    wait_for(lambda: is_gone(runner), seconds=20, what="end of the old runner")
    figures.measured("old runner gone after the cut healed (s)", time.monotonic() - healed)
    wait_for_end(job)
    _assert_one_holder_published(stack, job)
    cut_off.terminate()
    cut_off.wait(30)


@pytest.mark.fault(17)
def test_rolling_restarts_cost_no_recovery_and_no_step(stack: FaultStack) -> None:
    stack.need_workers(3)
    job = stack.submit(steps=120, seed=3)
    drained = []
    for attempt in (1, 2):
        stack.wait_for_step(job, 1, attempt=attempt)
        drained.append(stack.holder_of(job))
        drained[-1].terminate()
    wait_for_end(job)
    assert_result_is_right(job)
    assert [worker.wait(30) for worker in drained] == [0, 0]
    assert job.recoveries == 0
    assert [attempt.reason for attempt in attempts(job)] == ["drained", "drained", ""]
    numbers = [step.number for step in stack.steps(job)]
    assert numbers == list(range(1, 121)), "a step was lost or executed twice"


def test_an_idle_worker_stops_at_once_and_is_shown_as_gone(stack: FaultStack) -> None:
    worker = stack.start_worker()
    # While it starts, its first child may be some helper's.
    wait_for(
        lambda: child_of(worker).pid in {row.pid for row in ready_workers()},
        seconds=60,
        what="an idle worker",
    )
    child = child_of(worker)
    started = time.monotonic()
    worker.terminate()
    assert worker.wait(20) == 0
    assert time.monotonic() - started < 10
    assert is_gone(child)


@pytest.mark.fault(18)
def test_an_engine_killed_between_ringing_and_noting_it_rings_twice_and_no_job_runs_twice(
    stack: FaultStack,
) -> None:
    stack.need_workers(2)
    stack.need_engines(2)
    request = stack.let_die_at("rings.published")
    jobs = [stack.submit(steps=4, seed=seed) for seed in range(4)]
    wait_for(lambda: not request.exists(), seconds=20, what="end of an engine")
    for job in jobs:
        assert_result_is_right(wait_for_end(job))
        assert (len(attempts(job)), job.fence) == (1, 2)
    wait_for(
        lambda: not Outbox.objects.filter(published_at__isnull=True).exists(),
        seconds=20,
        what="all rings sent by the engine that lives",
    )


@pytest.mark.fault(18)
def test_without_any_engine_jobs_wait_and_go_on_when_one_comes_back(
    stack: FaultStack, figures: Figures
) -> None:
    stack.need_workers(2)
    for engine in stack.engines:
        engine.kill()
        engine.wait()
    running = stack.submit(steps=5, seed=8)
    time.sleep(1)
    assert Job.objects.get(pk=running.pk).status == JobStatus.QUEUED
    engine = stack.start_engine()
    back = time.monotonic()
    assert_result_is_right(wait_for_end(running))
    assert psutil.pid_exists(engine.pid)
    figures.recovered(stack.steps(running)[0].at - back)

"""Faults 9 and 10: PostgreSQL crashes, ends sessions, is locked, does not answer, or loses its last word."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import psycopg
import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from pytest_django import DjangoDbBlocker

from aigc_platform.jobs.models import Artifact, Job, JobEvent
from aigc_platform.jobs.services import Submission
from aigc_platform.storage.object_store import get_object_store
from tests.faults.addresses import database_proxy, database_url
from tests.faults.figures import Figures
from tests.faults.proxy import PASS, Fault, Proxy
from tests.faults.stack import FaultStack, assert_result_is_right, attempts, durable_database, wait_for_end
from tests.processes import wait_for
from tests.services import Services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def proxy(services: Services) -> Iterator[Proxy]:
    started = database_proxy(services)
    yield started
    started.close()


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    services: Services,
    proxy: Proxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultStack]:
    """An engine, and workers that reach PostgreSQL through the proxy."""
    with django_db_blocker.unblock(), durable_database():
        get_object_store().ensure_bucket()
        started = FaultStack(tmp_path_factory.mktemp("faults"), DATABASE_URL=database_url(services, proxy))
        started.start_engine()
        try:
            yield started
        finally:
            started.stop()
            connection.close()
            call_command("flush", interactive=False, verbosity=0)


def _running_job(stack: FaultStack, *, seed: int) -> Job:
    stack.need_workers(2)
    job = stack.submit(steps=60, seed=seed)
    stack.wait_for_step(job, 6)
    return job


def _wait_for_a_crash_and_its_end() -> None:
    """PostgreSQL takes a moment to notice the death of a session, then ends ours too, then comes back."""

    def is_cut_off() -> bool:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except OperationalError:
            return True
        return False

    def answers() -> bool:
        try:
            connection.close()
            connection.ensure_connection()
        except OperationalError:
            return False
        return True

    wait_for(is_cut_off, seconds=30, what="crash of PostgreSQL")
    wait_for(answers, seconds=30, what="PostgreSQL")


def _assert_undisturbed(stack: FaultStack, job: Job, figures: Figures) -> None:
    """The job ended well in its first attempt, and its runner never stood still for the database's sake."""
    assert_result_is_right(wait_for_end(job))
    assert len(attempts(job)) == 1
    times = [step.at for step in stack.steps(job)]
    longest = max(after - before for before, after in pairwise(times))
    figures.measured("longest pause between two steps (s)", longest)
    assert longest < 1.5


@pytest.mark.fault(9)
def test_a_crash_of_postgresql_disturbs_no_training(stack: FaultStack, figures: Figures) -> None:
    job = _running_job(stack, seed=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        [victim, *_] = (row[0] for row in cursor.fetchall())
    # The death of one session by a signal makes PostgreSQL end all others and recover from its log.
    os.kill(victim, signal.SIGKILL)
    _wait_for_a_crash_and_its_end()
    _assert_undisturbed(stack, job, figures)


@pytest.mark.fault(9)
def test_sessions_ended_again_and_again_disturb_no_training(stack: FaultStack, figures: Figures) -> None:
    job = _running_job(stack, seed=2)
    for _ in range(8):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        time.sleep(0.25)
    _assert_undisturbed(stack, job, figures)


@contextmanager
def _locked_table(services: Services) -> Iterator[None]:
    with psycopg.connect(services.database_url) as blocker:
        blocker.execute("LOCK TABLE jobs_job IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.mark.fault(9)
def test_a_locked_table_delays_writes_and_no_training(
    stack: FaultStack, services: Services, figures: Figures
) -> None:
    job = _running_job(stack, seed=3)
    with _locked_table(services):
        time.sleep(3.5)
    _assert_undisturbed(stack, job, figures)


@pytest.mark.fault(9)
@pytest.mark.parametrize("mode", ["drop", "reset"])
def test_a_database_out_of_reach_freezes_effects_and_no_training(
    stack: FaultStack, proxy: Proxy, mode: str, figures: Figures
) -> None:
    job = _running_job(stack, seed=4)
    with proxy.broken(Fault("drop" if mode == "drop" else "reset")):
        before = JobEvent.objects.filter(job=job).count()
        step = max(step.number for step in stack.steps(job))
        stack.wait_for_step(job, step + 40)
        assert JobEvent.objects.filter(job=job).count() <= before + 1
    _assert_undisturbed(stack, job, figures)


@pytest.mark.fault(10)
def test_commits_whose_answers_are_lost_have_no_double_effect(stack: FaultStack, proxy: Proxy) -> None:
    stack.need_workers(2)
    cuts = proxy.cuts
    proxy.set(Fault("cut", pattern=b"COMMIT"))
    try:
        jobs = [stack.submit(steps=12, seed=seed) for seed in range(3)]
        wait_for(lambda: proxy.cuts >= cuts + 12, seconds=30, what="twelve lost answers")
    finally:
        proxy.set(PASS)
    for job in jobs:
        assert_result_is_right(wait_for_end(job))
        assert job.recoveries <= 1
        ended = [attempt for attempt in attempts(job) if attempt.outcome == "succeeded"]
        assert len(ended) == 1
        assert set(Artifact.objects.filter(job=job).values_list("fence", flat=True)) == {ended[0].fence}


@pytest.fixture
def own_way(services: Services) -> Iterator[Proxy]:
    """A proxy that the test alone goes through: the workers' own commits keep their answers."""
    started = database_proxy(services)
    yield started
    started.close()


@pytest.mark.fault(10)
def test_the_answer_to_a_submission_is_lost_and_its_key_finds_the_job(
    stack: FaultStack, own_way: Proxy, seed: int
) -> None:
    options = Submission(idempotency_key=f"once {seed}", request_sha256="r")

    def submit() -> Job:
        return stack.submit(steps=2, seed=5, options=options)

    stack.need_workers(1)
    own_way.set(Fault("cut", pattern=b"COMMIT"))
    answer = _through(own_way, submit)
    assert isinstance(answer, OperationalError), answer
    job = submit()
    assert Job.objects.filter(owner=stack.owner, idempotency_key=options.idempotency_key).count() == 1
    assert_result_is_right(wait_for_end(job))
    assert len(attempts(job)) == 1


def _through(proxy: Proxy, call: Callable[[], Job]) -> Job | Exception | None:
    """Run the call in a thread whose database connection goes through the proxy; return what came of it."""
    outcome: list[Job | Exception] = []

    def run() -> None:
        address = {"HOST": "127.0.0.1", "PORT": str(proxy.port)}
        connection.settings_dict = connection.settings_dict | address
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001 — the caller judges it
            outcome.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return outcome[0] if outcome else None

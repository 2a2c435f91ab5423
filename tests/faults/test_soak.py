"""All faults at random, many at once. `SOAK_MINUTES`, `SOAK_JOBS` and `FAULT_SEED` make it the long one."""

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker, Settings

from aigc_platform.storage.object_store import get_object_store
from tests.faults.addresses import database_proxy, database_url, store_proxy, store_url
from tests.faults.broker import Broker
from tests.faults.figures import Figures
from tests.faults.mischief import Mischief
from tests.faults.proxy import Proxy
from tests.faults.soak import Plan, Soak, assert_nothing_is_missing, cancel_seconds
from tests.faults.stack import FaultStack, durable_database
from tests.services import Services

_MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
_SHORT = Plan(seconds=15, jobs=12, gap=(0.5, 2), workers=2)
_LONG = Plan(seconds=_MINUTES * 60, jobs=int(os.environ.get("SOAK_JOBS", "200")), gap=(3, 15), workers=3)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.timeout(300 + 3 * 60 * _MINUTES),
]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    started = Broker(tmp_path_factory.mktemp("broker"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def proxies(services: Services) -> Iterator[tuple[Proxy, Proxy]]:
    """What stands before the database and before the store."""
    made = database_proxy(services), store_proxy(services)
    yield made
    for proxy in made:
        proxy.close()


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    services: Services,
    broker: Broker,
    proxies: tuple[Proxy, Proxy],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultStack]:
    """Engines and workers that reach everything through something that breaks."""
    database, store = proxies
    with django_db_blocker.unblock(), durable_database():
        get_object_store().ensure_bucket()
        started = FaultStack(
            tmp_path_factory.mktemp("faults"),
            BROKER_URL=broker.valkey.url,
            DATABASE_URL=database_url(services, database),
            S3_ENDPOINT_URL=store_url(store),
            # Less than a runner may be frozen for.
            STALL_SECONDS="6",
        )
        try:
            yield started
        finally:
            started.stop()
            connection.close()
            call_command("flush", interactive=False, verbosity=0)


@pytest.mark.fault
def test_whatever_happens_every_job_ends_once_and_nothing_is_missing(
    stack: FaultStack,
    broker: Broker,
    proxies: tuple[Proxy, Proxy],
    figures: Figures,
    seed: int,
    settings: Settings,
) -> None:
    plan = _LONG if _MINUTES else _SHORT
    dice = random.Random(seed)
    database, store = proxies
    stack.tend(engines=plan.engines, workers=plan.workers)
    stack.need_workers(plan.workers)
    soak = Soak(stack, Mischief(stack, broker, database, store, dice), plan, dice)
    jobs = soak.run()
    assert_nothing_is_missing(stack, jobs, settings)

    ends = Counter(f"{job.status} {job.status_reason}".strip() for job in jobs)
    figures.counts = dict(soak.acts) | {f"jobs {end}": count for end, count in ends.items()}
    for seconds in cancel_seconds(jobs):
        figures.measured("cancel of a running job (s)", seconds)
    print(dict(figures.counts))

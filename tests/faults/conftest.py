"""One fault stack for each module: its processes and its database rows live until the module's last test.

Starting a worker costs seconds, and what a fault leaves behind is the next test's business too: every test works on
jobs of its own, beside whatever the last one broke.
"""

from collections.abc import Iterator

import pytest
import redis
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from aigc_platform.storage.object_store import get_object_store
from tests.faults.stack import FaultStack
from tests.services import Services


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    services: Services,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultStack]:
    """An engine and two workers, with database access for the whole module."""
    with django_db_blocker.unblock():
        redis.Redis.from_url(services.broker_url).flushall()
        get_object_store().ensure_bucket()
        started = FaultStack(tmp_path_factory.mktemp("faults"))
        started.start_engine()
        try:
            yield started
        finally:
            started.stop()
            call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def _django_db_helper() -> None:
    """Take the place of pytest-django's own, which would empty the tables under the running processes."""


@pytest.fixture(autouse=True)
def _show_new_log_lines(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give a failed test what the processes printed while it ran."""
    if "stack" not in request.fixturenames:
        yield
        return
    stack: FaultStack = request.getfixturevalue("stack")
    before = stack.log_sizes()
    yield
    print(stack.log_since(before)[-20_000:])

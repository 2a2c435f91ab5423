"""A database, a broker, a store and whatever processes of the platform a test starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from aigc_platform.accounts.models import User
from aigc_platform.storage.object_store import get_object_store
from tests.factories.accounts import make_user
from tests.processes import PlatformProcesses
from tests.services import Services


@pytest.fixture
def processes(
    request: pytest.FixtureRequest, transactional_db: None, services: Services, tmp_path: Path
) -> Iterator[PlatformProcesses]:
    redis.Redis.from_url(services.broker_url).flushall()
    get_object_store().ensure_bucket()
    started = PlatformProcesses(tmp_path)
    try:
        yield started
    finally:
        started.stop()
        # Shown by pytest only where the test failed.
        print(started.log()[-20_000:])


@pytest.fixture
def owner(transactional_db: None) -> User:
    return make_user()

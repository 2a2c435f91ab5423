"""Fixtures for every test: real servers on demand, and no network in unit tests."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.services import Services, running_services

_TESTS = Path(__file__).parent
_UNIT_TESTS = _TESTS / "unit"
_LONGEST = ("acceptance", "faults", "integration/standalone", "integration/runner", "unit/ml", "integration")
"""Folders whose files take longest, in that order."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _refuse_unit_tests_with_servers(items)
    if hasattr(config, "workerinput"):
        # Several processes take one file after the other: a long one at the end would leave all but one idle.
        items.sort(key=_length_rank)


def _length_rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(_TESTS)
    return next(
        (rank for rank, name in enumerate(_LONGEST) if folder.is_relative_to(name)),
        len(_LONGEST),
    )


def _refuse_unit_tests_with_servers(items: list[pytest.Item]) -> None:
    """A unit test that asks for a server belongs to `tests/integration`."""
    for item in items:
        asks = {"services", "db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
        if _UNIT_TESTS in item.path.parents and (asks or item.get_closest_marker("django_db")):
            raise pytest.UsageError(
                f"{item.nodeid} needs a server, so it is no unit test: move it to integration"
            )


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The addresses of the running PostgreSQL, Valkey and SeaweedFS, also in the settings and the environment."""
    from django.conf import settings

    from aigc_platform.celery import app
    from aigc_platform.settings.env import database_settings

    with running_services() as running:
        os.environ.update(running.variables())
        database = database_settings(running.database_url)
        settings.DATABASES["default"].update(database)
        settings.DATABASES["default"]["TEST"]["NAME"] = database["NAME"]
        settings.BROKER_URL = running.broker_url
        app.conf.update(broker_url=running.broker_url)
        for name, value in running.variables().items():
            if name.startswith("S3_"):
                setattr(settings, name, value)
        settings.S3_PUBLIC_ENDPOINT_URL = running.s3_endpoint_url
        yield running


@pytest.fixture(scope="session")
def django_db_modify_db_settings(services: Services) -> None:
    """Point Django at the running PostgreSQL before the first database test (pytest-django's own hook)."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Leave no session of a killed process to PostgreSQL, which would not drop the database under it."""
    from django.db import connection

    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    connection.close()


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if _UNIT_TESTS not in request.path.parents:
        return

    def refuse(self: socket.socket, *_arguments: object) -> None:
        if self.family != socket.AF_UNIX:
            raise AssertionError("a unit test opened a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)

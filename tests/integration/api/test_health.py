"""Liveness and readiness, with each part taken away for real."""

import socket
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from aigc_platform import health
from aigc_platform.celery import app  # noqa: F401 — the broker's settings come with the services
from tests.services import Services


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.django_db
def test_all_parts_up(services: Services) -> None:
    response = Client().get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "checks": {"database": "ok", "migrations": "ok", "object_store": "ok", "broker": "ok"},
    }
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.django_db
def test_ready_without_the_broker_because_jobs_are_still_accepted(settings: Any) -> None:
    settings.BROKER_URL = f"redis://:pw@127.0.0.1:{free_port()}/0"
    response = Client().get("/readyz")
    assert (response.status_code, response.json()["checks"]["broker"]) == (200, "down")


@pytest.mark.django_db
def test_not_ready_without_the_store(settings: Any) -> None:
    settings.S3_ENDPOINT_URL = f"http://127.0.0.1:{free_port()}"
    response = Client().get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "not_ready")
    assert response.json()["checks"]["object_store"] == "down"
    assert "127.0.0.1" not in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_not_ready_without_a_migration() -> None:
    health._check_migrations.cache_clear()
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'accounts' AND name = '0001_initial' RETURNING applied"
        )
        [(applied,)] = cursor.fetchall()
        try:
            response = Client().get("/readyz")
        finally:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('accounts', '0001_initial', %s)",
                [applied],
            )
    assert (response.status_code, response.json()["checks"]["migrations"]) == (503, "down")


@pytest.mark.django_db(transaction=True)
def test_alive_but_not_ready_without_the_database(settings: Any) -> None:
    port = connection.settings_dict["PORT"], connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict.update(PORT=str(free_port()), HOST="127.0.0.1")
    try:
        assert Client().get("/healthz").json() == {"status": "ok"}
        response = Client().get("/readyz")
        problem = Client().get("/api/v1/tokens", headers={"Authorization": "Token aigc_00000000_x"})
    finally:
        connection.close()
        connection.settings_dict.update(PORT=port[0], HOST=port[1])
    assert (response.status_code, response.json()["checks"]["database"]) == (503, "down")
    assert (problem.status_code, problem.json()["code"]) == (503, "platform.database_unavailable")
    assert problem.headers["Retry-After"] == "5"


def test_health_needs_a_safe_method() -> None:
    assert Client().post("/healthz").status_code == 405
    assert Client().head("/healthz").status_code == 200

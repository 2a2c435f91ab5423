"""Pause, resume, cancel and retry over HTTP against a real engine and worker: trainings and generations, queued and
running."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from tests.acceptance.test_main_path import ended
from tests.factories.accounts import client_of
from tests.factories.studio import TINY_MLP, import_digits, train_tiny
from tests.processes import PlatformProcesses, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LONG_KIMG = 100_000
_PATIENCE_SECONDS = 120


class _Caller:
    """A user's client, as terse as the story it tells."""

    def __init__(self, owner: User) -> None:
        self._client: APIClient = client_of(owner)

    def submit(self, collection: str, **body: Any) -> dict[str, Any]:
        return self._answer(self._client.post(f"/api/v1/{collection}", body), 202)

    def do(self, job: dict[str, Any], action: str, *statuses: int) -> dict[str, Any]:
        return self._answer(self._client.post(job["urls"][action]), *statuses)

    def until(self, job: dict[str, Any], *statuses: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            row: dict[str, Any] = self._client.get(job["urls"]["self"]).json()
            return row if row["status"] in statuses else None

        return wait_for(reached, seconds=_PATIENCE_SECONDS, what=f"{' or '.join(statuses)} of {job['id']}")

    def at_work(self, job: dict[str, Any]) -> dict[str, Any]:
        """Wait until it has made something."""

        def made() -> dict[str, Any] | None:
            row: dict[str, Any] = self._client.get(job["urls"]["self"]).json()
            return row if row["status"] == "running" and row["progress"]["current"] > 0 else None

        return wait_for(made, seconds=_PATIENCE_SECONDS, what=f"first progress of {job['id']}")

    def artifacts(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.get(job["urls"]["artifacts"]).json()["results"]
        return found

    @staticmethod
    def _answer(response: Any, *statuses: int) -> dict[str, Any]:
        assert response.status_code in statuses, response.content
        content: dict[str, Any] = response.json()
        return content


def _play_with_a_waiting_job(caller: _Caller, job: dict[str, Any]) -> None:
    """Everything a user can do to a job that no worker has: it takes effect at once."""
    assert caller.do(job, "pause", 200)["status"] == "paused"
    assert caller.do(job, "resume", 202)["status"] == "queued"
    assert caller.do(job, "retry", 409)["code"] == "job.invalid_transition"
    assert caller.do(job, "cancel", 200)["status"] == "canceled"
    assert caller.do(job, "resume", 409)["code"] == "job.invalid_transition"
    again = caller.do(job, "retry", 202)
    assert (again["status"], again["retried_from"]) == ("queued", job["id"])
    assert caller.do(again, "cancel", 200)["attempt"] == 0


def test_what_users_may_do_with_trainings_and_generations(processes: PlatformProcesses, owner: User) -> None:
    processes.start_engine()
    processes.start_worker()
    dataset = import_digits(owner)
    assert dataset.import_job is not None
    ended(dataset.import_job, seconds=_PATIENCE_SECONDS)
    ended(train_tiny(owner, dataset, kimg=1, model="digits"), seconds=_PATIENCE_SECONDS)
    caller = _Caller(owner)
    _trainings(caller, str(dataset.pk))
    _generations(caller)


def _trainings(caller: _Caller, dataset: str) -> None:
    wish = {"dataset": dataset, "recipe": "mlp-gan", "config": TINY_MLP | {"kimg": LONG_KIMG}}
    job = caller.at_work(caller.submit("trainings", **wish))
    _play_with_a_waiting_job(caller, caller.submit("trainings", **wish))

    assert caller.do(job, "pause", 202)["status"] == "pausing"
    paused = caller.until(job, "paused")
    assert caller.do(job, "resume", 202)["status"] == "queued"
    resumed = caller.at_work(job)
    assert resumed["attempt"] == 2
    assert resumed["progress"]["current"] >= paused["progress"]["current"] > 0
    assert caller.do(job, "retry", 409)["code"] == "job.invalid_transition"
    assert caller.do(job, "cancel", 202)["status"] == "canceling"
    assert caller.until(job, "canceled")["status_reason"] == "user"

    again = caller.do(job, "retry", 202)
    assert again["spec"] == job["spec"]
    assert caller.do(job, "retry", 202)["id"] == again["id"]
    caller.do(again, "cancel", 200, 202)
    caller.until(again, "canceled")


def _generations(caller: _Caller) -> None:
    job = caller.at_work(caller.submit("generations", model="digits", count=10_000, seed=1))
    _play_with_a_waiting_job(caller, caller.submit("generations", model="digits", count=1))

    assert caller.do(job, "pause", 409)["code"] == "job.not_resumable"
    assert caller.do(job, "cancel", 202)["status"] == "canceling"
    assert caller.until(job, "canceled")["output"] is None
    assert caller.artifacts(job) == []

    again = caller.do(job, "retry", 202)
    assert (again["retried_from"], again["spec"]["seed"]) == (job["id"], 1)
    caller.do(again, "cancel", 200, 202)
    caller.until(again, "canceled")
    small = caller.until(caller.submit("generations", model="digits", count=2), "succeeded")
    assert sum(artifact["role"] == "image" for artifact in caller.artifacts(small)) == 2

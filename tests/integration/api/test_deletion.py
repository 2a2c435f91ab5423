"""Deleting a job over HTTP: hidden at once, gone from the store after a sweep, refused while something needs it."""

from typing import Any

import httpx
import pytest
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.jobs import leases, sweeping
from aigc_platform.jobs.models import Job
from aigc_platform.storage import keys
from aigc_platform.storage.object_store import get_object_store
from tests.factories.finished import (
    finish_generation,
    published_model,
    queued_generation,
    queued_training,
    start,
)
from tests.integration.api.answers import body, problem

pytestmark = pytest.mark.django_db


def _path(job: Job, rest: str = "") -> str:
    return f"/api/v1/{job.kind}s/{job.pk}{rest}"


def _ids(client: APIClient, path: str, **parameters: Any) -> set[str]:
    return {item["id"] for item in body(client.get(path, parameters), 200)["results"]}


@pytest.fixture
def generation(user: User) -> Job:
    published_model(user, "m")
    return finish_generation(queued_generation(user, "m", count=3))


def test_a_deleted_job_is_hidden_at_once_and_stays_as_a_tombstone(
    client: APIClient, user: User, generation: Job
) -> None:
    [first, *_] = body(client.get(_path(generation, "/artifacts")), 200)["results"]
    before = body(client.get(_path(generation)), 200)
    assert before["deletion"] is None

    answer = body(client.delete(_path(generation)), 202)

    assert answer["deletion"]["requested_by"] == f"user:{user.pk}"
    assert answer["deletion"]["completed_at"] is None
    assert {**answer, "deletion": None} == before, "nothing else changes"
    assert body(client.get(_path(generation)), 200) == answer
    assert body(client.get(_path(generation, "/artifacts")), 200)["results"] == []
    assert problem(client.get(f"/api/v1/artifacts/{first['id']}"), 404)
    assert body(client.get(_path(generation, "/events")), 200)["results"], "its history stays"
    for path in ("/api/v1/jobs", "/api/v1/generations"):
        assert str(generation.pk) not in _ids(client, path)
        assert str(generation.pk) not in _ids(client, path, deleted="false")
        assert _ids(client, path, deleted="true") == {str(generation.pk)}
    assert (
        problem(client.get("/api/v1/jobs", {"deleted": "maybe"}), 422)["errors"][0]["pointer"] == "?deleted"
    )


def test_a_repeated_deletion_is_accepted_until_the_bytes_are_gone_and_then_answers_no_content(
    client: APIClient, stranger_client: APIClient, generation: Job
) -> None:
    store = get_object_store()
    [first, *_] = body(client.get(_path(generation, "/artifacts")), 200)["results"]
    assert httpx.get(first["url"]).status_code == 200
    accepted = body(client.delete(_path(generation)), 202)
    assert body(client.delete(f"/api/v1/jobs/{generation.pk}"), 202) == accepted
    assert list(store.list_keys(keys.job_prefix(generation.pk)))

    assert sweeping.delete_requested(store) == 1

    assert list(store.list_keys(keys.job_prefix(generation.pk))) == []
    assert httpx.get(first["url"]).status_code == 404, "a link given out before leads nowhere"
    for _ in range(2):
        gone = client.delete(_path(generation))
        assert (gone.status_code, gone.content) == (204, b"")
    assert body(client.get(_path(generation)), 200)["deletion"]["completed_at"] is not None
    assert problem(stranger_client.delete(_path(generation)), 404)


def test_a_job_that_has_not_ended_is_refused(client: APIClient, user: User) -> None:
    job = queued_training(user)
    refused = problem(client.delete(_path(job)), 409)
    assert (refused["code"], "cancel it first" in refused["detail"]) == ("job.invalid_transition", True)
    claim = start(job)
    assert "running" in problem(client.delete(_path(claim.job)), 409)["detail"]
    client.post(_path(job, "/cancel"))
    assert "canceling" in problem(client.delete(_path(claim.job)), 409)["detail"]
    leases.confirm_canceled(claim.job, claim.fence, actor=claim.actor)
    assert body(client.delete(_path(job)), 202)["status"] == "canceled"


def test_what_a_model_version_or_a_data_set_is_made_of_is_refused(client: APIClient, generation: Job) -> None:
    training = Job.objects.get(kind="training")
    refused = problem(client.delete(_path(training)), 409)
    assert (refused["code"], "m:1" in refused["detail"]) == ("job.files_in_use", True)
    importing = Job.objects.get(kind="dataset_import")
    refused = problem(client.delete(f"/api/v1/jobs/{importing.pk}"), 409)
    assert (refused["code"], "data set" in refused["detail"]) == ("job.files_in_use", True)
    assert body(client.get(_path(training)), 200)["deletion"] is None

"""Real answers are what the OpenAPI document says they are."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # no stubs here
from rest_framework.test import APIClient

from aigc_platform.accounts.models import ApiToken, User
from aigc_platform.datasets.models import Dataset
from aigc_platform.jobs import leases
from aigc_platform.jobs.fleet import register_worker
from aigc_platform.jobs.models import Artifact, Job
from tests.factories.finished import (
    fail,
    finish_evaluation,
    finish_generation,
    published_model,
    queued_evaluation,
    queued_generation,
    queued_training,
    ready_dataset,
    start,
)
from tests.factories.webhooks import make_endpoint
from tests.openapi import openapi_document

pytestmark = pytest.mark.django_db


def gets() -> list[str]:
    """Return the paths that are described as readable."""
    return sorted(path for path, methods in openapi_document()["paths"].items() if "get" in methods)


def check(response: Any, path: str, method: str) -> Any:
    """Assert that the answer's status, media type and body are described; return the body."""
    document = openapi_document()
    described = document["paths"][path][method]["responses"]
    answer = described.get(str(response.status_code), described["default"])
    if response.status_code == 204:
        assert response.content == b""
        return None
    media_type = response.headers["Content-Type"]
    assert media_type in answer["content"], (response.status_code, media_type)
    schema = {**answer["content"][media_type]["schema"], "components": document["components"]}
    body = response.json()
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(body)
    return body


@pytest.fixture
def address(user: User, client: APIClient) -> dict[str, str]:
    """A living address for each GET route, with one row of every state that shows other members."""
    endpoint = make_endpoint(user)
    published_model(user, "digits")
    generation = finish_generation(queued_generation(user, "digits"))
    fail(queued_training(user), {"code": "x", "message": "x", "errors": []})
    claim = start(queued_training(user))
    report = {
        "current": 1.0, "total": None, "unit": "images", "rate": 2.0, "eta_seconds": 3.0, "metrics": {"a": 1.0},
    }  # fmt: skip
    leases.report_progress(claim.job, claim.fence, report, actor=claim.actor, as_event=True)
    client.post("/api/v1/datasets", {"name": "up"})
    devices = [{"id": "cpu", "kind": "cpu"}]
    register_worker(name="w", host="h", boot_id="b", pid=1, devices=devices, queues=["cpu.io"])
    ids = {
        "tokens": ApiToken.objects.filter(owner=user)[0].pk,
        "jobs": claim.job.pk,
        "generations": generation.pk,
        "evaluations": finish_evaluation(queued_evaluation(user, "digits")).pk,
        "trainings": Job.objects.filter(kind="training", status="succeeded")[0].pk,
        "artifacts": Artifact.objects.filter(job=generation)[0].pk,
        "datasets": Dataset.objects.filter(status="ready")[0].pk,
        "models": "digits",
        "recipes": "dcgan",
        "webhook-endpoints": endpoint.pk,
    }
    return {
        path: re.sub(r"{(id|name)}", str(ids.get(path.split("/")[3])), path).replace("{number}", "1")
        for path in gets()
    }


def test_every_get_answers_as_described(client: APIClient, address: dict[str, str]) -> None:
    for path in gets():
        body = check(client.get(address[path]), path, "get")
        # The running training (`jobs`) has figures but no outputs; the finished ones have it the other way round.
        has_none = path.endswith("/metrics") != path.startswith("/api/v1/jobs/")
        if "results" in body and not (path.endswith(("/metrics", "/artifacts")) and has_none):
            assert body["results"], path


def test_every_refusal_is_described(
    client: APIClient, anonymous_client: APIClient, address: dict[str, str]
) -> None:
    for path in gets():
        check(anonymous_client.get(address[path]), path, "get")
    for path, methods in openapi_document()["paths"].items():
        if "post" in methods and "{" not in path:
            for content, kind in (("{", "json"), ("{}", "xml"), ('{"?": 1}', "json")):
                check(client.post(path, content, content_type=f"application/{kind}"), path, "post")


def test_every_creation_and_action_answers_as_described(client: APIClient, user: User) -> None:
    published_model(user, "digits")
    dataset = str(ready_dataset(user).pk)

    def post(path: str, name: object = "", body: Any = None) -> Any:
        return check(client.post(path.replace("{id}", str(name)), body or {}), path, "post")

    post("/api/v1/tokens", body={"name": "x"})
    post("/api/v1/datasets", body={"name": "x"})
    post("/api/v1/datasets", body={"name": "x", "builtin": "digits"})
    post("/api/v1/datasets/{id}/complete", dataset, {"sha256": "0" * 64, "size": 1})
    post("/api/v1/generations", body={"model": "digits", "count": 1})
    post("/api/v1/evaluations", body={"model": "digits"})
    training = post("/api/v1/trainings", body={"dataset": dataset})
    for action in ("pause", "resume", "cancel", "retry"):
        post(f"/api/v1/trainings/{{id}}/{action}", training["id"])
        post(f"/api/v1/jobs/{{id}}/{action}", training["id"])
    for path in ("/api/v1/trainings/{id}", "/api/v1/jobs/{id}"):
        check(client.delete(path.replace("{id}", training["id"])), path, "delete")
        check(client.get(path.replace("{id}", training["id"])), path, "get")
    token = ApiToken.objects.get(name="x")
    path = "/api/v1/tokens/{id}"
    check(client.delete(path.replace("{id}", str(token.pk))), path, "delete")


def test_webhook_endpoints_answer_as_described(client: APIClient) -> None:
    collection = "/api/v1/webhook-endpoints"
    endpoint = check(client.post(collection, {"url": "https://hooks.example/in"}), collection, "post")

    def call(method: str, path: str, **ids: str) -> Any:
        described = f"{collection}/{{id}}{path}"
        return check(getattr(client, method)(described.format(id=endpoint["id"], **ids)), described, method)

    message = call("post", "/test")
    call("get", "/deliveries")
    call("post", "/deliveries/{delivery}/redeliver", delivery=message["id"])
    call("post", "/rotate-secret")
    call("patch", "")
    call("delete", "")

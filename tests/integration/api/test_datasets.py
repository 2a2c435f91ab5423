"""Data sets over HTTP: built-in and uploaded, from creation to ready or rejected."""

import hashlib
from typing import Any

import httpx
import pytest
from django.db import DatabaseError, transaction
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.datasets.models import Dataset, DatasetVersion
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Job, Outbox
from aigc_platform.jobs.states import StatusReason
from tests.factories.finished import fail, finish_import, ready_dataset
from tests.integration.api.answers import body, field_problems, problem

pytestmark = pytest.mark.django_db

ARCHIVE = b"not really a zip, but nobody opens it here"
SHA = hashlib.sha256(ARCHIVE).hexdigest()


def create_upload(client: APIClient, **fields: Any) -> dict[str, Any]:
    return body(client.post("/api/v1/datasets", {"name": "mine", "modality": "image", **fields}), 201)


def upload(dataset: dict[str, Any], content: bytes = ARCHIVE) -> httpx.Response:
    form = dataset["upload"]
    return httpx.post(form["url"], data=form["fields"], files={"file": ("a.zip", content)})


def complete(client: APIClient, dataset: dict[str, Any], **fields: Any) -> Any:
    return client.post(
        f"/api/v1/datasets/{dataset['id']}/complete", {"sha256": SHA, "size": len(ARCHIVE), **fields}
    )


def test_a_builtin_set_is_imported_by_a_job(client: APIClient) -> None:
    response = client.post("/api/v1/datasets", {"name": "digits", "builtin": "digits"})
    dataset = body(response, 202)
    assert (dataset["status"], dataset["modality"], dataset["sample_count"]) == ("validating", "image", None)
    assert response.headers["Location"] == dataset["urls"]["self"]
    assert dataset["upload"] is None
    job = body(client.get(dataset["urls"]["job"]), 200)
    assert (job["id"], job["kind"], job["status"]) == (dataset["job"], "dataset_import", "queued")
    assert Outbox.objects.filter(payload__queue="cpu.io").count() == 1

    finish_import(Dataset.objects.get(pk=dataset["id"]))
    ready = body(client.get(dataset["urls"]["self"]), 200)
    assert (ready["status"], ready["sample_count"], ready["version"]) == ("ready", 1797, 1)
    assert ready["image"] == {"width": 32, "height": 32, "channels": 1}
    assert ready["class_counts"] == {str(digit): 179 for digit in range(10)}
    assert ready["manifest_sha256"] == hashlib.sha256(b"{}").hexdigest()
    assert httpx.get(ready["preview"]["url"]).content == b"\x89PNG"


def test_an_upload_from_form_to_ready(client: APIClient) -> None:
    dataset = create_upload(client, image_px=16, require_labels=True)
    assert (dataset["status"], dataset["job"]) == ("uploading", None)
    assert dataset["upload"]["max_bytes"] > 0
    assert upload(dataset).status_code == 204

    completed = body(complete(client, dataset, sha256=SHA.upper()), 202)
    assert (completed["status"], completed["upload"]) == ("validating", None)
    job = Job.objects.get(pk=completed["job"])
    assert job.spec == {
        "dataset": dataset["id"],
        "name": "mine",
        "source": {"upload": {"filename": "archive", "sha256": SHA, "size": len(ARCHIVE)}},
        "image_px": 16,
        "require_labels": True,
    }
    prepared = get_kind("dataset_import").prepare(job)
    [archive] = prepared.inputs[0].files
    assert (archive.sha256, archive.size, prepared.inputs[0].single) == (SHA, len(ARCHIVE), True)
    assert archive.key.startswith(f"uploads/{dataset['id']}/")

    finish_import(Dataset.objects.get(pk=dataset["id"]), classes=[])
    ready = body(client.get(dataset["urls"]["self"]), 200)
    assert (ready["status"], ready["classes"], ready["class_counts"]) == ("ready", [], {})


def test_completing_twice_is_one_import_and_other_facts_are_refused(client: APIClient) -> None:
    dataset = create_upload(client)
    upload(dataset)
    first = body(complete(client, dataset), 202)
    again = body(complete(client, dataset), 200)
    assert again["job"] == first["job"]
    assert Job.objects.count() == 1
    assert (
        problem(complete(client, dataset, size=len(ARCHIVE) + 1), 409)["code"] == "dataset.already_completed"
    )
    assert problem(complete(client, dataset, sha256="0" * 64), 409)["code"] == "dataset.already_completed"
    finish_import(Dataset.objects.get(pk=dataset["id"]))
    assert body(complete(client, dataset), 200)["status"] == "ready"
    assert Job.objects.count() == 1


def test_another_size_than_stored_is_refused_at_once_and_may_be_corrected(client: APIClient) -> None:
    dataset = create_upload(client)
    upload(dataset)
    wrong = complete(client, dataset, size=len(ARCHIVE) - 1)
    assert field_problems(wrong) == {("/size", "dataset.size_mismatch")}
    assert str(len(ARCHIVE)) in problem(wrong, 422)["detail"]
    assert Job.objects.count() == 0
    assert body(complete(client, dataset), 202)["status"] == "validating"


def test_nothing_uploaded_and_nothing_to_upload(client: APIClient) -> None:
    dataset = create_upload(client)
    assert problem(complete(client, dataset), 409)["code"] == "dataset.upload_missing"
    assert body(client.get(dataset["urls"]["self"]), 200)["status"] == "uploading"

    Dataset.objects.filter(pk=dataset["id"]).update(upload_expires_at="2001-01-01T00:00:00Z")
    assert problem(complete(client, dataset), 409)["code"] == "dataset.upload_expired"
    assert body(client.get(dataset["urls"]["self"]), 200)["upload"] is None

    builtin = body(client.post("/api/v1/datasets", {"name": "d", "builtin": "digits"}), 202)
    assert problem(complete(client, builtin), 409)["code"] == "dataset.not_an_upload"


def test_the_form_takes_nothing_larger_than_the_limit(client: APIClient, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 10
    dataset = create_upload(client)
    assert dataset["upload"]["max_bytes"] == 10
    assert upload(dataset).status_code == 400
    assert upload(dataset, b"0123456789").status_code == 204


def test_rejection_tells_every_file_and_a_retry_can_still_succeed(client: APIClient) -> None:
    dataset = body(client.post("/api/v1/datasets", {"name": "d", "builtin": "digits"}), 202)
    errors = [{"pointer": "cats/1.png", "code": "image.damaged", "message": "Cut off."}]
    error = {"code": "dataset.bad_files", "message": "1 file cannot be read.", "errors": errors}
    fail(Job.objects.get(pk=dataset["job"]), error)
    rejected = body(client.get(dataset["urls"]["self"]), 200)
    assert (rejected["status"], rejected["error"], rejected["errors"]) == ("rejected", error, errors)

    retried = body(client.post(f"{dataset['urls']['job']}/retry"), 202)
    row = Dataset.objects.get(pk=dataset["id"])
    row.import_job = Job.objects.get(pk=retried["id"])
    ready = finish_import(row)
    assert (ready.status, ready.error, str(ready.import_job_id)) == ("ready", None, retried["id"])


@pytest.mark.parametrize("action", ["cancel", "sha256"])
def test_other_ends_of_the_import_reject_too(client: APIClient, action: str) -> None:
    dataset = create_upload(client)
    upload(dataset)
    completed = body(complete(client, dataset), 202)
    if action == "cancel":
        body(client.post(f"{completed['urls']['job']}/cancel"), 200)
        expected = "dataset.import_ended"
    else:
        stored = {"code": "storage.object_corrupt", "message": "key …", "errors": []}
        fail(Job.objects.get(pk=completed["job"]), stored, reason=StatusReason.INVALID_INPUT)
        expected = "dataset.sha256_mismatch"
    rejected = body(client.get(dataset["urls"]["self"]), 200)
    assert (rejected["status"], rejected["error"]["code"]) == ("rejected", expected)


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        ({}, {("/name", "field.required")}),
        ({"name": ""}, {("/name", "field.blank")}),
        ({"name": "x" * 101}, {("/name", "field.length")}),
        ({"name": 5}, {("/name", "field.type")}),
        ({"name": "x", "modality": "smell"}, {("/modality", "field.choice")}),
        ({"name": "x", "builtin": "imagenet"}, {("/builtin", "dataset.unknown_builtin")}),
        (
            {"name": "x", "builtin": "digits", "image_px": 16},
            {("/image_px", "dataset.option_not_applicable")},
        ),
        (
            {"name": "x", "builtin": "nope", "require_labels": True},
            {("/builtin", "dataset.unknown_builtin"), ("/require_labels", "dataset.option_not_applicable")},
        ),
        ({"name": "x", "image_px": 7}, {("/image_px", "field.range")}),
        ({"name": "x", "image_px": 129}, {("/image_px", "field.range")}),
        ({"name": "x", "image_px": "16"}, {("/image_px", "field.type")}),
        ({"name": "x", "image_px": True}, {("/image_px", "field.type")}),
        ({"name": "x", "require_labels": "yes"}, {("/require_labels", "field.type")}),
        (
            {"name": "x", "path": "/etc/passwd", "key": "a"},
            {("/path", "field.unknown"), ("/key", "field.unknown")},
        ),
    ],
)
def test_bad_requests_name_the_field(
    client: APIClient, request_body: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert field_problems(client.post("/api/v1/datasets", request_body)) == expected
    assert Dataset.objects.count() == 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sha256": "abc"}, {("/sha256", "field.pattern")}),
        ({"sha256": "g" * 64}, {("/sha256", "field.pattern")}),
        ({"sha256": None}, {("/sha256", "field.null")}),
        ({"size": 0}, {("/size", "field.range")}),
        ({"size": "1"}, {("/size", "field.type")}),
        ({"size": 10**30}, {("/size", "field.range")}),
        ({"etag": "x"}, {("/etag", "field.unknown")}),
    ],
)
def test_bad_completions_name_the_field(
    client: APIClient, fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert field_problems(complete(client, create_upload(client), **fields)) == expected


def test_an_idempotency_key_makes_one_data_set(client: APIClient) -> None:
    request_body = {"name": "digits", "builtin": "digits"}
    first = body(client.post("/api/v1/datasets", request_body, headers={"Idempotency-Key": "k1"}), 202)
    again = body(client.post("/api/v1/datasets", request_body, headers={"Idempotency-Key": '"k1"'}), 202)
    assert again["id"] == first["id"]
    assert (Dataset.objects.count(), Job.objects.count()) == (1, 1)
    other = client.post(
        "/api/v1/datasets", {"name": "x", "builtin": "digits"}, headers={"Idempotency-Key": "k1"}
    )
    assert problem(other, 422)["code"] == "request.idempotency_mismatch"
    assert Dataset.objects.count() == 1


def test_lists_are_the_owners_filtered_and_bounded_in_queries(
    client: APIClient, user: User, stranger: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ready_dataset(stranger)
    for index in range(5):
        ready_dataset(user, name=f"d{index}")
    create_upload(client)
    body(client.get("/api/v1/datasets"), 200)
    with django_assert_num_queries(3):  # token, data sets, versions with previews
        listed = body(client.get("/api/v1/datasets"), 200)["results"]
    assert [item["name"] for item in listed] == ["mine", "d4", "d3", "d2", "d1", "d0"]
    ready = body(client.get("/api/v1/datasets", {"status": "ready", "name": "d2"}), 200)["results"]
    assert [item["name"] for item in ready] == ["d2"]
    assert field_problems(client.get("/api/v1/datasets", {"status": "lost"})) == {("?status", "field.choice")}


def test_a_version_cannot_be_changed_in_the_database(user: User) -> None:
    version = ready_dataset(user).versions.get()
    with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
        DatasetVersion.objects.filter(pk=version.pk).update(sample_count=1)

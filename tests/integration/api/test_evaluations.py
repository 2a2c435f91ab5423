"""Evaluations over HTTP: which version, against which data, and what comes out."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.datasets.models import DatasetVersion
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Job
from aigc_platform.registry.models import ModelVersion
from ml.catalog import LARGEST_SEED
from tests.factories.finished import IMAGE, finish_evaluation, published_model, ready_dataset
from tests.integration.api.answers import body, field_problems, problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(user: User) -> ModelVersion:
    return published_model(user, "digits")


def submit(client: APIClient, **fields: Any) -> Any:
    return client.post("/api/v1/evaluations", {"model": "digits", **fields})


def test_an_evaluation_is_accepted_against_the_data_of_the_training(
    client: APIClient, version: ModelVersion
) -> None:
    job = body(submit(client), 202)

    dataset = DatasetVersion.objects.get(pk=version.dataset_version_id)
    assert job["kind"] == "evaluation"
    assert job["spec"] == {
        "model": "digits:1",
        "model_version": str(version.pk),
        "dataset": str(dataset.dataset_id),
        "dataset_version": str(dataset.pk),
        "dataset_manifest_sha256": dataset.manifest_sha256,
        "n": None,
        "seed": 0,
        "truncation": 1.0,
        "extractor": None,
    }
    assert job["urls"]["self"].endswith(f"/api/v1/evaluations/{job['id']}")
    row = Job.objects.get(pk=job["id"])
    prepared = get_kind("evaluation").prepare(row)
    assert row.queue == "cpu.io"
    assert prepared.spec == {"n": None, "seed": 0, "truncation": 1.0, "extractor": None}
    assert {given.name: [file.name for file in given.files] for given in prepared.inputs} == {
        "snapshot": ["snapshot.safetensors", "snapshot.json"],
        "dataset": ["data.safetensors", "manifest.json"],
    }
    assert prepared.provenance["model_sha256"] == version.weights.sha256


def test_its_output_holds_the_figures_and_its_report_comes_from_the_store(
    client: APIClient, version: ModelVersion
) -> None:
    job = body(submit(client, n=100, seed=3, truncation=0.7), 202)
    finish_evaluation(Job.objects.get(pk=job["id"]))

    ended = body(client.get(job["urls"]["self"]), 200)

    assert ended["status"] == "succeeded"
    assert ended["output"]["model"] == "digits:1"
    assert ended["output"]["figures"]["frechet_distance"]["floor"] == 0.5
    (report,) = body(client.get(job["urls"]["artifacts"]), 200)["results"]
    assert (report["role"], report["media_type"]) == ("report", "application/json")
    listed = body(client.get("/api/v1/evaluations"), 200)["results"]
    assert [item["id"] for item in listed] == [job["id"]]


def test_other_data_of_ones_own_may_be_named(client: APIClient, user: User, version: ModelVersion) -> None:
    other = ready_dataset(user, name="more-digits")

    assert body(submit(client, dataset=str(other.pk)), 202)["spec"]["dataset"] == str(other.pk)


def test_a_feature_space_may_be_named(client: APIClient, version: ModelVersion) -> None:
    job = body(submit(client, extractor="lite0-112"), 202)

    assert job["spec"]["extractor"] == "lite0-112"
    prepared = get_kind("evaluation").prepare(Job.objects.get(pk=job["id"]))
    assert prepared.spec["extractor"] == "lite0-112"


def test_a_feature_space_that_cannot_see_the_images_is_refused(
    client: APIClient, user: User, version: ModelVersion
) -> None:
    published_model(user, "colours", image=IMAGE | {"channels": 3})

    refused = submit(client, model="colours", extractor="fashion-28")
    assert ("/extractor", "evaluation.extractor") in field_problems(refused)
    accepted = submit(client, model="colours", extractor="lite0-112")
    assert ("/extractor", "evaluation.extractor") not in field_problems(accepted)


def test_the_same_key_queues_one_evaluation(client: APIClient, version: ModelVersion) -> None:
    first, second = (
        client.post("/api/v1/evaluations", {"model": "digits"}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    )

    assert body(first, 202)["id"] == second.json()["id"]
    assert Job.objects.filter(kind="evaluation").count() == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "nope"}, {("/model", "model.not_found")}),
        ({"model": None}, {("/model", "field.null")}),
        ({"n": 49}, {("/n", "field.range")}),
        ({"n": 50_001}, {("/n", "field.range")}),
        ({"n": "100"}, {("/n", "field.type")}),
        ({"seed": -1}, {("/seed", "field.range")}),
        ({"seed": LARGEST_SEED + 1}, {("/seed", "field.range")}),
        ({"seed": None}, {("/seed", "field.null")}),
        ({"truncation": 0}, {("/truncation", "field.range")}),
        ({"truncation": 2.1}, {("/truncation", "field.range")}),
        ({"dataset": "digits"}, {("/dataset", "dataset.not_found")}),
        ({"dataset": str(uuid4())}, {("/dataset", "dataset.not_found")}),
        ({"extractor": "../../secret.safetensors"}, {("/extractor", "field.choice")}),
        ({"holdout": 0.5}, {("/holdout", "field.unknown")}),
    ],
)
def test_bad_requests_name_each_field(
    client: APIClient, version: ModelVersion, fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert field_problems(submit(client, **fields)) == expected
    assert not Job.objects.filter(kind="evaluation").exists()


def test_another_users_model_and_data_are_unknown(
    client: APIClient, stranger: User, version: ModelVersion
) -> None:
    theirs = published_model(stranger, "theirs")
    data = ready_dataset(stranger, name="theirs")

    assert field_problems(submit(client, model=str(theirs.pk))) == {("/model", "model.not_found")}
    assert field_problems(submit(client, dataset=str(data.pk))) == {("/dataset", "dataset.not_found")}


def test_data_that_do_not_belong_to_the_model_are_refused_with_the_reason(
    client: APIClient, user: User, version: ModelVersion
) -> None:
    other = ready_dataset(user, name="pets", classes=["cat", "dog"])
    assert field_problems(submit(client, dataset=str(other.pk))) == {("/dataset", "evaluation.classes")}

    plain = ready_dataset(user, name="plain", classes=[])
    assert body(submit(client, dataset=str(plain.pk)), 202)["status"] == "queued"


def test_data_of_another_size_are_refused_with_the_reason(
    client: APIClient, user: User, monkeypatch: pytest.MonkeyPatch, version: ModelVersion
) -> None:
    monkeypatch.setitem(IMAGE, "width", 28)
    small = ready_dataset(user, name="small")

    refused = problem(submit(client, dataset=str(small.pk)), 422)
    assert refused["errors"] == [
        {
            "pointer": "/dataset",
            "code": "evaluation.shape",
            "message": "digits:1 makes images of 32x32 px with 1 channels; those of small:1 are 28x32 px with 1 "
            "channels.",
        }
    ]

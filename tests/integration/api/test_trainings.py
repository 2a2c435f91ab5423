"""Trainings over HTTP: every bad field by its pointer, and the way from request to model version."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.datasets.models import Dataset
from aigc_platform.datasets.services import NewDataset, create_builtin_dataset, create_upload_dataset
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Job, JobEvent, Outbox
from ml.catalog import DEFAULT_RECIPE, RECIPES, parse_config
from tests.factories.finished import fail, finish_training, ready_dataset
from tests.integration.api.answers import body, field_problems, problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset_id(user: User) -> str:
    return str(ready_dataset(user).pk)


def submit(client: APIClient, dataset_id: str, **fields: Any) -> Any:
    return client.post("/api/v1/trainings", {"dataset": dataset_id, "recipe": "dcgan", **fields})


def test_a_training_is_accepted_with_all_settings_resolved(client: APIClient, dataset_id: str) -> None:
    response = submit(
        client,
        dataset_id,
        config={"kimg": 40},
        model="my-digits",
        labels={"who": "me"},
        run_timeout_seconds=60,
    )
    job = body(response, 202)
    assert response.headers["Location"] == job["urls"]["self"]
    assert job["urls"]["self"].endswith(f"/api/v1/trainings/{job['id']}")
    assert (job["kind"], job["status"], job["labels"]) == ("training", "queued", {"who": "me"})
    assert job["spec"]["config"] == parse_config("dcgan", {"kimg": 40}).model_dump(mode="json")
    assert (job["spec"]["dataset"], job["spec"]["model"]) == (dataset_id, "my-digits")
    assert job["queue"] == {"position": 1, "reasons": ["no_worker"]}
    assert job["progress"] == {
        "current": 0,
        "total": None,
        "unit": None,
        "rate": None,
        "eta_at": None,
        "metrics": {},
    }
    row = Job.objects.get(pk=job["id"])
    assert (row.queue, row.run_timeout_seconds) == ("gpu.train", 60)
    assert JobEvent.objects.filter(job=row, seq=1, type="training.queued").exists()
    assert Outbox.objects.filter(payload__queue="gpu.train").count() == 1


def test_defaults_are_the_catalogs(client: APIClient, dataset_id: str) -> None:
    job = body(client.post("/api/v1/trainings", {"dataset": dataset_id}), 202)
    assert job["spec"]["recipe"] == DEFAULT_RECIPE
    assert job["spec"]["config"] == parse_config(DEFAULT_RECIPE, {}).model_dump(mode="json")
    assert job["spec"]["model"] is None


def test_success_publishes_the_next_version_and_moves_latest(client: APIClient, dataset_id: str) -> None:
    for number in (1, 2):
        job = body(submit(client, dataset_id, model="digits", config={"seed": number}), 202)
        finish_training(Job.objects.get(pk=job["id"]))
        done = body(client.get(job["urls"]["self"]), 200)
        assert (done["status"], done["output"]["model"]) == ("succeeded", f"digits:{number}")
        model = body(client.get("/api/v1/models/digits"), 200)
        assert (model["aliases"], model["version_count"]) == ({"latest": number}, number)


def test_without_a_model_name_nothing_is_published(client: APIClient, dataset_id: str) -> None:
    job = body(submit(client, dataset_id), 202)
    finish_training(Job.objects.get(pk=job["id"]))
    assert body(client.get("/api/v1/models"), 200)["results"] == []
    roles = [item["role"] for item in body(client.get(job["urls"]["artifacts"]), 200)["results"]]
    assert sorted(roles) == ["card", "card_picture", "card_text", "grid", "metrics", "snapshot", "snapshot"]


def test_the_runner_is_told_the_model_and_the_licence_for_its_card(
    client: APIClient, dataset_id: str
) -> None:
    job = body(submit(client, dataset_id, model="digits", licence="CC0-1.0"), 202)
    prepared = get_kind("training").prepare(Job.objects.get(pk=job["id"]))
    assert (prepared.spec["model"], prepared.spec["licence"]) == ("digits", "CC0-1.0")
    assert job["spec"]["licence"] == "CC0-1.0"


def test_the_runner_gets_the_packed_data_by_hash(client: APIClient, dataset_id: str) -> None:
    job = Job.objects.get(pk=body(submit(client, dataset_id), 202)["id"])
    prepared = get_kind("training").prepare(job)
    assert prepared.spec.keys() == {"recipe", "config", "model", "licence"}
    [dataset] = prepared.inputs
    assert (dataset.name, [file.name for file in dataset.files]) == (
        "dataset",
        ["data.safetensors", "manifest.json"],
    )
    assert all(file.sha256 for file in dataset.files)


BAD_CONFIGS: list[tuple[Any, set[tuple[str, str]]]] = [
    ({"kimg": -1}, {("/config/kimg", "field.range")}),
    ({"kimg": 0}, {("/config/kimg", "field.range")}),
    ({"kimg": 10_000_000}, {("/config/kimg", "field.range")}),
    ({"kimg": "40"}, {("/config/kimg", "field.type")}),
    ({"kimg": None}, {("/config/kimg", "field.type")}),
    ({"kimg": True}, {("/config/kimg", "field.type")}),
    ({"batch_size": 64.5}, {("/config/batch_size", "field.type")}),
    ({"batch_size": 1}, {("/config/batch_size", "field.range")}),
    ({"objective": "magic"}, {("/config/objective", "field.choice")}),
    ({"kimgs": 1}, {("/config/kimgs", "field.unknown")}),
    ({"kimg": 0.001}, {("/config", "field.invalid")}),
    (
        {"kimg": -1, "batch_size": "x", "more": 1},
        {
            ("/config/kimg", "field.range"),
            ("/config/batch_size", "field.type"),
            ("/config/more", "field.unknown"),
        },
    ),
    ([], {("/config", "field.type")}),
    ("dcgan", {("/config", "field.type")}),
    (None, {("/config", "field.null")}),
]


@pytest.mark.parametrize(("config", "expected"), BAD_CONFIGS)
def test_bad_configs_name_each_field(
    client: APIClient, dataset_id: str, config: Any, expected: set[tuple[str, str]]
) -> None:
    assert field_problems(submit(client, dataset_id, config=config)) == expected
    assert not Job.objects.filter(kind="training").exists()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"recipe": "stylegan9"}, {("/recipe", "recipe.not_found")}),
        ({"recipe": None}, {("/recipe", "field.null")}),
        ({"dataset": "not-an-id"}, {("/dataset", "dataset.not_found")}),
        ({"dataset": str(uuid4())}, {("/dataset", "dataset.not_found")}),
        ({"dataset": 7}, {("/dataset", "field.type")}),
        (
            {"dataset": str(uuid4()), "recipe": "nope"},
            {("/dataset", "dataset.not_found"), ("/recipe", "recipe.not_found")},
        ),
        (
            {"dataset": str(uuid4()), "config": {"kimg": -1}},
            {("/dataset", "dataset.not_found"), ("/config/kimg", "field.range")},
        ),
        ({"model": "Has Spaces"}, {("/model", "field.pattern")}),
        ({"model": "../x"}, {("/model", "field.pattern")}),
        ({"model": "a:1"}, {("/model", "field.pattern")}),
        ({"model": str(uuid4())}, {("/model", "field.pattern")}),
        ({"model": "x" * 65}, {("/model", "field.length"), ("/model", "field.pattern")}),
        ({"labels": {"a": 1}}, {("/labels/a", "field.type")}),
        ({"labels": {"a": "x" * 513}}, {("/labels/a", "field.length")}),
        ({"labels": {"x" * 65: "a"}}, {("/labels/" + "x" * 65, "field.length")}),
        ({"labels": {str(index): "" for index in range(17)}}, {("/labels", "field.length")}),
        ({"labels": []}, {("/labels", "field.type")}),
        ({"start_within_seconds": 0}, {("/start_within_seconds", "field.range")}),
        ({"run_timeout_seconds": 1e9}, {("/run_timeout_seconds", "field.range")}),
        ({"priority": 9}, {("/priority", "field.unknown")}),
        ({"owner": "somebody"}, {("/owner", "field.unknown")}),
    ],
)
def test_bad_requests_name_each_field(
    client: APIClient, dataset_id: str, fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert field_problems(submit(client, dataset_id, **fields)) == expected
    assert not Job.objects.filter(kind="training").exists()


def test_another_users_data_set_is_unknown(client: APIClient, stranger: User) -> None:
    theirs = ready_dataset(stranger)
    assert field_problems(submit(client, str(theirs.pk))) == {("/dataset", "dataset.not_found")}


def test_data_that_is_not_ready_is_a_conflict(client: APIClient, user: User) -> None:
    validating = create_builtin_dataset(owner=user, new=NewDataset(name="v"), builtin="digits")
    uploading = create_upload_dataset(owner=user, new=NewDataset(name="u"))
    assert problem(submit(client, str(validating.pk)), 409)["code"] == "dataset.not_ready"
    assert problem(submit(client, str(uploading.pk)), 409)["code"] == "dataset.not_ready"
    assert validating.import_job is not None
    fail(validating.import_job, {"code": "dataset.bad", "message": "Bad.", "errors": []})
    assert problem(submit(client, str(validating.pk)), 409)["code"] == "dataset.rejected"


def test_data_that_does_not_suit_the_recipe_is_named(client: APIClient, user: User) -> None:
    few = ready_dataset(user, count=3, classes=[])
    response = submit(client, str(few.pk), config={"conditional": "yes"})
    assert field_problems(response) == {("/dataset", "dataset.does_not_fit_recipe")}
    messages = [error["message"] for error in response.json()["errors"]]
    assert len(messages) == 2
    assert "at least 16 images" in messages[0]


class TestIdempotency:
    def test_the_same_request_gives_the_same_job(self, client: APIClient, dataset_id: str) -> None:
        fields = {"dataset": dataset_id, "config": {"kimg": 1}}
        first = client.post("/api/v1/trainings", fields, headers={"Idempotency-Key": "again"})
        again = client.post(
            "/api/v1/trainings", dict(reversed(fields.items())), headers={"Idempotency-Key": '"again"'}
        )
        assert body(again, 202)["id"] == body(first, 202)["id"]
        assert again.headers["Location"] == first.headers["Location"]
        assert Job.objects.filter(kind="training").count() == 1

    def test_it_answers_though_the_request_would_be_refused_by_now(
        self, client: APIClient, dataset_id: str
    ) -> None:
        headers = {"Idempotency-Key": "k"}
        first = body(client.post("/api/v1/trainings", {"dataset": dataset_id}, headers=headers), 202)
        error = {"code": "x", "message": "x", "errors": []}
        Dataset.objects.filter(pk=dataset_id).update(status="rejected", error=error)
        again = client.post("/api/v1/trainings", {"dataset": dataset_id}, headers=headers)
        assert body(again, 202)["id"] == first["id"]

    def test_another_body_or_address_is_a_mismatch(self, client: APIClient, dataset_id: str) -> None:
        headers = {"Idempotency-Key": "k"}
        body(client.post("/api/v1/trainings", {"dataset": dataset_id}, headers=headers), 202)
        for address, fields in (
            ("/api/v1/trainings", {"dataset": dataset_id, "config": {"kimg": 2}}),
            ("/api/v1/generations", {"model": "x", "count": 1}),
        ):
            response = client.post(address, fields, headers=headers)
            assert problem(response, 422)["code"] == "request.idempotency_mismatch"

    def test_another_users_key_is_their_own(
        self, client: APIClient, stranger: User, stranger_client: APIClient, dataset_id: str
    ) -> None:
        headers = {"Idempotency-Key": "k"}
        mine = body(client.post("/api/v1/trainings", {"dataset": dataset_id}, headers=headers), 202)
        theirs_id = str(ready_dataset(stranger).pk)
        theirs = stranger_client.post("/api/v1/trainings", {"dataset": theirs_id}, headers=headers)
        assert body(theirs, 202)["id"] != mine["id"]

    @pytest.mark.parametrize("key", ["", "x" * 256, "ä"])
    def test_an_unusable_key_is_named(self, client: APIClient, dataset_id: str, key: str) -> None:
        response = client.post("/api/v1/trainings", {"dataset": dataset_id}, headers={"Idempotency-Key": key})
        assert field_problems(response) == {("Idempotency-Key", "request.idempotency_key")}


def test_recipes_carry_the_schema_that_validates(client: APIClient) -> None:
    listed = body(client.get("/api/v1/recipes"), 200)["results"]
    assert [recipe["name"] for recipe in listed] == sorted(RECIPES)
    assert [recipe["name"] for recipe in listed if recipe["is_default"]] == [DEFAULT_RECIPE]
    dcgan = body(client.get("/api/v1/recipes/dcgan"), 200)
    assert dcgan in listed
    kimg = dcgan["config_schema"]["properties"]["kimg"]
    default = RECIPES["dcgan"].config_type.model_fields["kimg"].default
    assert (kimg["unit"], kimg["exclusiveMinimum"], kimg["default"]) == ("kimg", 0, default)
    assert dcgan["needs"]["px_multiple"] == 4
    assert {found["dataset"] for found in dcgan["measurements"]} == {"fashion-mnist", "digits"}
    assert all(0 < found["floor"] < found["frechet_distance"] for found in dcgan["measurements"])
    assert "arXiv" in dcgan["paper"]
    assert problem(client.get("/api/v1/recipes/nope"), 404)["code"] == "recipe.not_found"

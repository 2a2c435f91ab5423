"""Generations over HTTP: what to make, from which version, within which limits."""

from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Artifact, Job
from aigc_platform.registry.models import ModelVersion
from aigc_platform.studio.exceptions import WrongDeliveryError
from ml.catalog import LARGEST_SEED
from tests.factories.finished import File, finish_generation, published_model, succeed
from tests.integration.api.answers import body, field_problems

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(user: User) -> ModelVersion:
    return published_model(user, "digits")


def submit(client: APIClient, **fields: Any) -> Any:
    return client.post("/api/v1/generations", {"model": "digits", "count": 4, **fields})


def test_a_generation_is_accepted_and_its_files_come_from_the_store(
    client: APIClient, version: ModelVersion
) -> None:
    response = submit(client, kind="sample", seed=7, format="png", delivery="files", truncation=0.5)
    job = body(response, 202)
    assert job["urls"]["self"].endswith(f"/api/v1/generations/{job['id']}") == bool(job["id"])
    assert job["spec"] == {
        "kind": "sample",
        "model": "digits:1",
        "model_version": str(version.pk),
        "count": 4,
        "seed": 7,
        "classes": None,
        "truncation": 0.5,
        "format": "png",
        "delivery": "files",
    }
    row = Job.objects.get(pk=job["id"])
    assert (row.queue, row.group_key) == ("gpu.sample", f"generation:{version.pk}")
    prepared = get_kind("generation").prepare(row)
    assert prepared.provenance["model_version"] == "digits:1"
    assert prepared.provenance["model_sha256"] == version.weights.sha256
    assert [file.name for file in prepared.inputs[0].files] == ["snapshot.safetensors", "snapshot.json"]

    finish_generation(row)
    artifacts = body(client.get(job["urls"]["artifacts"], {"role": "image"}), 200)["results"]
    assert [item["index"] for item in artifacts] == [0, 1, 2, 3]
    download = httpx.get(artifacts[2]["url"])
    assert download.content == f"image 2 of {job['id']}".encode()
    assert download.headers["content-disposition"] == 'attachment; filename="d-000002.png"'


@pytest.mark.parametrize("indices", [(0, 1, 2), (0, 1, 2, 3, 4), (0, 1, 2, 7)])
def test_other_files_than_asked_for_are_not_published(
    client: APIClient, version: ModelVersion, indices: tuple[int, ...]
) -> None:
    row = Job.objects.get(pk=body(submit(client, delivery="files"), 202)["id"])
    files = [File("image", index, b"png", f"{index}.png", "image/png") for index in indices]

    with pytest.raises(WrongDeliveryError, match=f"4 files .* delivered {len(indices)}"):
        succeed(row, files, {"count": 4})
    row.refresh_from_db()
    assert not row.is_terminal
    assert not Artifact.objects.filter(job=row).exists()


def test_without_a_seed_one_is_drawn_and_told(client: APIClient, version: ModelVersion) -> None:
    seeds = {body(submit(client), 202)["spec"]["seed"] for _ in range(3)}
    assert len(seeds) == 3
    assert all(0 <= seed <= LARGEST_SEED for seed in seeds)
    assert body(submit(client, seed=0), 202)["spec"]["seed"] == 0
    assert body(submit(client, seed=LARGEST_SEED), 202)["spec"]["seed"] == LARGEST_SEED


def test_every_way_to_name_a_version(client: APIClient, user: User, version: ModelVersion) -> None:
    newer = published_model(user, "digits")
    for reference, expected in (
        ("digits", newer),
        ("digits:latest", newer),
        ("digits:1", version),
        ("digits:2", newer),
        (str(version.pk), version),
    ):
        assert body(submit(client, model=reference), 202)["spec"]["model_version"] == str(expected.pk)


@pytest.mark.parametrize(
    "reference",
    [
        "nope",
        "digits:3",
        "digits:0",
        "digits:best",
        "0190b7a2-4f3e-7c11-8a52-6d1f0c9e7b35",
        "digits:99999999999999999999",
        "digits:-1",
        ":1",
    ],
)
def test_unknown_models_are_named(client: APIClient, version: ModelVersion, reference: str) -> None:
    assert field_problems(submit(client, model=reference)) == {("/model", "model.not_found")}


def test_another_users_model_is_unknown_by_name_and_by_id(client: APIClient, stranger: User) -> None:
    theirs = published_model(stranger, "digits")
    for reference in ("digits", "digits:1", str(theirs.pk)):
        assert field_problems(submit(client, model=reference)) == {("/model", "model.not_found")}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"count": 0}, {("/count", "generation.count_out_of_range")}),
        ({"count": -5}, {("/count", "generation.count_out_of_range")}),
        (
            {"count": django_settings.GENERATION_MAX_COUNT + 1},
            {("/count", "generation.count_out_of_range")},
        ),
        ({"count": 10**40}, {("/count", "field.range")}),
        ({"count": "4"}, {("/count", "field.type")}),
        ({"count": 1.5}, {("/count", "field.type")}),
        ({"count": None}, {("/count", "field.null")}),
        ({"seed": -1}, {("/seed", "field.range")}),
        ({"seed": LARGEST_SEED + 1}, {("/seed", "field.range")}),
        ({"seed": "7"}, {("/seed", "field.type")}),
        ({"classes": ["0", "ten"]}, {("/classes/1", "generation.unknown_class")}),
        ({"classes": []}, {("/classes", "field.length")}),
        ({"classes": "0"}, {("/classes", "field.type")}),
        ({"classes": [0]}, {("/classes/0", "field.type")}),
        ({"truncation": 0}, {("/truncation", "field.range")}),
        ({"truncation": 2.1}, {("/truncation", "field.range")}),
        ({"truncation": "1"}, {("/truncation", "field.type")}),
        ({"format": "exe"}, {("/format", "field.choice")}),
        ({"delivery": "mail"}, {("/delivery", "field.choice")}),
        ({"kind": "walk"}, {("/kind", "field.choice")}),
        ({"model": 7}, {("/model", "field.type")}),
        ({"steps": 50}, {("/steps", "field.unknown")}),
        (
            {"count": 0, "classes": ["x"]},
            {("/count", "generation.count_out_of_range"), ("/classes/0", "generation.unknown_class")},
        ),
    ],
)
def test_bad_requests_name_each_field(
    client: APIClient, version: ModelVersion, fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert field_problems(submit(client, **fields)) == expected
    assert not Job.objects.filter(kind="generation").exists()


def test_the_limit_itself_is_allowed(client: APIClient, version: ModelVersion) -> None:
    assert body(submit(client, count=django_settings.GENERATION_MAX_COUNT), 202)["status"] == "queued"
    assert body(submit(client, count=1), 202)["status"] == "queued"


def test_a_model_without_classes_has_none(client: APIClient, user: User) -> None:
    published_model(user, "blank", classes=[])
    response = submit(client, model="blank", classes=["0"])
    assert field_problems(response) == {("/classes/0", "generation.unknown_class")}
    assert body(submit(client, model="blank"), 202)["spec"]["classes"] is None


def test_our_limit_of_truncation_is_the_samplers() -> None:
    from aigc_platform.studio.specs import LARGEST_TRUNCATION
    from ml import sample

    assert sample.LARGEST_TRUNCATION == LARGEST_TRUNCATION

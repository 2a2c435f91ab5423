"""Models over HTTP: names, versions, cards, lineage."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from django.db import DatabaseError, transaction
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.datasets.models import DatasetVersion
from aigc_platform.registry.models import ModelVersion
from tests.factories.finished import published_model
from tests.integration.api.answers import body, problem

pytestmark = pytest.mark.django_db


def get(client: APIClient, path: str, **parameters: Any) -> dict[str, Any]:
    return body(client.get(f"/api/v1/models{path}", parameters), 200)


def test_a_version_shows_files_card_figures_and_lineage(client: APIClient, user: User) -> None:
    version = published_model(user, "digits")
    shown = get(client, "/digits/versions/1")
    assert (shown["id"], shown["model"], shown["number"]) == (str(version.pk), "digits", 1)
    assert shown["aliases"] == ["latest"]
    assert shown["image"] == {"width": 32, "height": 32, "channels": 1}
    assert shown["metrics"] == {"loss_generator": 0.7}
    assert shown["card"] == {"format": 1, "recipe": {"name": "dcgan"}}
    assert shown["snapshot"]["sha256"] == version.weights.sha256
    assert httpx.get(shown["snapshot"]["url"]).content == f"weights of {version.job_id}".encode()
    assert httpx.get(shown["grid"]["url"]).content == b"\x89PNG"
    assert shown["card_file"]["filename"] == "model_card.json"
    assert httpx.get(shown["card_text"]["url"]).content == b"# digits"
    assert httpx.get(shown["card_picture"]["url"]).content == b"\x89PNG card"
    assert shown["card_picture"]["media_type"] == "image/png"
    data = DatasetVersion.objects.get(pk=version.dataset_version_id)
    assert shown["lineage"] == {
        "job": str(version.job_id),
        "dataset_version": str(data.pk),
        "dataset_manifest_sha256": data.manifest_sha256,
        "recipe": "dcgan",
        "config": version.job.spec["config"],
        "seed": 0,
        "code_version": version.code_version,
        "snapshot_sha256": version.weights.sha256,
    }
    assert UUID(body(client.get(shown["urls"]["job"]), 200)["id"]) == version.job_id


def test_versions_are_listed_newest_first_and_latest_moves(client: APIClient, user: User) -> None:
    for _ in range(3):
        published_model(user, "digits")
    published_model(user, "other")
    assert [item["number"] for item in get(client, "/digits/versions")["results"]] == [3, 2, 1]
    assert [item["aliases"] for item in get(client, "/digits/versions")["results"]] == [["latest"], [], []]
    model = get(client, "/digits")
    assert (model["version_count"], model["aliases"], model["latest"]["number"]) == (3, {"latest": 3}, 3)
    assert [item["name"] for item in get(client, "")["results"]] == ["other", "digits"]
    page = get(client, "/digits/versions", limit=2)
    assert [item["number"] for item in body(client.get(page["next"]), 200)["results"]] == [1]


def test_what_is_not_there(client: APIClient, user: User, stranger: User) -> None:
    published_model(user, "digits")
    published_model(stranger, "theirs")
    for path in (
        "/nope",
        "/nope/versions",
        "/digits/versions/2",
        "/theirs",
        "/theirs/versions",
        "/theirs/versions/1",
    ):
        assert problem(client.get(f"/api/v1/models{path}"), 404)["status"] == 404
    assert problem(client.get("/api/v1/models/digits/versions/99999999999999999999"), 404)["status"] == 404


def test_lists_are_bounded_in_queries(
    client: APIClient, user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for name in ("a", "b", "c"):
        published_model(user, name)
        published_model(user, name)
    get(client, "")
    with django_assert_num_queries(3):  # token, models, aliases with versions
        get(client, "")
    with django_assert_num_queries(4):  # token, model, versions, aliases
        get(client, "/a/versions")


def test_a_version_cannot_be_changed_in_the_database(user: User) -> None:
    version = published_model(user, "digits")
    with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(recipe="other")

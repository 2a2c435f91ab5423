"""Who may see what, over every route there is: the list comes from the URL map, so no route is forgotten."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from aigc_platform.accounts.models import ApiToken, User
from aigc_platform.accounts.services import create_token
from aigc_platform.datasets.models import Dataset
from aigc_platform.jobs.models import Artifact, Job
from tests.factories.finished import (
    finish_evaluation,
    finish_generation,
    published_model,
    queued_evaluation,
    queued_generation,
)
from tests.factories.webhooks import make_endpoint

pytestmark = pytest.mark.django_db

METHODS = ("get", "post", "put", "patch", "delete")
#: Readable without a token: the schema, its page, and whether the process lives.
PUBLIC = {"api/schema/", "api/docs/"}
#: The same for every user.
SHARED = {"api/v1/workers", "api/v1/queues", "api/v1/recipes", "api/v1/recipes/<slug:name>"}


def routes() -> Iterator[tuple[str, Any]]:
    """Yield (path pattern, view) of every address below /api/."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern):
                yield path, pattern.callback

    yield from (
        (path, view) for path, view in walk(get_resolver().url_patterns, "") if path.startswith("api/")
    )


ROUTES = dict(routes())
PRIVATE = sorted(set(ROUTES) - PUBLIC)
#: Paths that name somebody's row.
OWNED = sorted(path for path in ROUTES if "<" in path and path not in SHARED)


@pytest.fixture
def owned_address(user: User) -> dict[str, str]:
    """One address of the user's own for each route with an id in it."""
    published_model(user, "digits")
    generation = finish_generation(queued_generation(user, "digits"))
    ids = {
        "tokens": str(ApiToken.objects.filter(owner=user).first().pk),  # type: ignore[union-attr]  # made by client
        "jobs": str(generation.pk),
        "generations": str(generation.pk),
        "evaluations": str(finish_evaluation(queued_evaluation(user, "digits")).pk),
        "trainings": str(Job.objects.get(kind="training").pk),
        "artifacts": str(Artifact.objects.filter(job=generation)[0].pk),
        "datasets": str(Dataset.objects.get().pk),
        "models": "digits",
        "webhook-endpoints": str(make_endpoint(user).pk),
    }
    return {path: _fill(path, ids[path.split("/")[2]]) for path in OWNED}


def _fill(path: str, name: str) -> str:
    return "/" + re.sub(r"<int:[a-z]+>", "1", re.sub(r"<(uuid|slug):[a-z]+>", name, path))


def methods_of(path: str) -> list[str]:
    actions = getattr(ROUTES[path], "actions", None)
    return sorted(actions) if actions else ["get"]


def test_the_map_is_what_we_think() -> None:
    collections = {path.split("/")[2] for path in ROUTES if path.startswith("api/v1/")}
    assert collections >= {
        "tokens", "jobs", "artifacts", "workers", "queues", "datasets", "models", "recipes", "trainings",
        "generations", "evaluations", "webhook-endpoints",
    }  # fmt: skip
    assert len(OWNED) > 25
    assert set(ROUTES) >= PUBLIC | SHARED


def test_nothing_answers_without_a_token(anonymous_client: APIClient) -> None:
    for path in PRIVATE:
        address = _fill(path, "0190a3b0-0000-7000-8000-000000000001")
        for method in METHODS:
            response = getattr(anonymous_client, method)(address, {})
            assert response.status_code == 401, (method, address, response.content)
            assert response.json()["code"] == "auth.missing"
            assert response.headers["WWW-Authenticate"] == "Token"


def test_nothing_answers_to_a_wrong_token(anonymous_client: APIClient) -> None:
    anonymous_client.credentials(HTTP_AUTHORIZATION="Token aigc_00000000_wrong")
    for path in PRIVATE:
        address = _fill(path, "0190a3b0-0000-7000-8000-000000000001")
        for method in METHODS:
            response = getattr(anonymous_client, method)(address, {})
            assert response.status_code == 401, (method, address, response.content)
            assert response.json()["code"] == "auth.invalid"


def test_anothers_rows_are_unknown(
    client: APIClient, stranger_client: APIClient, owned_address: dict[str, str]
) -> None:
    for path, address in owned_address.items():
        methods = methods_of(path)
        mine = client.get(address)
        assert mine.status_code == (200 if "get" in methods else 405), (address, mine.content)
        for method in methods:
            theirs = getattr(stranger_client, method)(address, {"sha256": "0" * 64, "size": 1})
            assert theirs.status_code == 404, (method, address, theirs.content)


def test_lists_hold_the_callers_rows_alone(
    client: APIClient, stranger_client: APIClient, owned_address: dict[str, str]
) -> None:
    assert owned_address
    for path in sorted(set(PRIVATE) - SHARED - set(OWNED)):
        mine = client.get(f"/{path}").json()["results"]
        theirs = stranger_client.get(f"/{path}").json()["results"]
        assert mine, path
        assert not {item["id"] for item in mine} & {item["id"] for item in theirs}, path
        assert [item["name"] for item in theirs] == (["tests"] if path.endswith("tokens") else []), path


def test_a_reading_token_reads_and_writes_nothing(user: User) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {create_token(user=user, name='r', scopes=['read'])[1]}")
    for path in PRIVATE:
        address = _fill(path, "0190a3b0-0000-7000-8000-000000000001")
        for method in methods_of(path):
            response = getattr(client, method)(address, {})
            may = method in {"get", "head"} and "/tokens" not in path
            assert (response.status_code == 403) != may, (method, address, response.content)


def test_the_public_pages_need_no_token_and_load_nothing_from_elsewhere(anonymous_client: APIClient) -> None:
    page = anonymous_client.get("/api/docs/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    sources = re.findall(r"(?:src|href)=[\"']([^\"']+)", page.content.decode())
    assert sources
    assert all(source.startswith("/") for source in sources), sources
    schema = anonymous_client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert schema.status_code == 200
    assert schema.json()["openapi"].startswith("3.1")

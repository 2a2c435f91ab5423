"""API tokens: shown once, hashed at rest, refused by name."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from aigc_platform.accounts.models import ApiToken, User
from aigc_platform.accounts.services import create_token, revoke_token
from tests.factories.accounts import client_of, make_user

pytestmark = pytest.mark.django_db


def get(secret: str | None, path: str = "/api/v1/tokens") -> tuple[int, str, str]:
    client = APIClient()
    if secret is not None:
        client.credentials(HTTP_AUTHORIZATION=secret)
    response = client.get(path)
    return response.status_code, response.json().get("code", ""), response.headers.get("WWW-Authenticate", "")


def test_a_token_opens_the_api_and_its_secret_is_shown_once(client: APIClient, user: User) -> None:
    made = client.post("/api/v1/tokens", {"name": "laptop"})
    assert made.status_code == 201
    secret = made.json()["token"]
    assert secret.startswith(f"aigc_{made.json()['prefix']}_")
    assert made.json()["scopes"] == ["*"]
    assert get(f"Token {secret}")[0] == 200
    listed = client.get("/api/v1/tokens").json()["results"]
    assert [token["name"] for token in listed] == ["laptop", "tests"]
    assert all("token" not in token for token in listed)
    assert listed[0].keys() == {
        "id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at",
    }  # fmt: skip


def test_the_database_holds_no_token(client: APIClient) -> None:
    secret = client.post("/api/v1/tokens", {"name": "laptop"}).json()["token"]
    body = secret.split("_", 2)[2]
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{model._meta.db_table}" t')  # noqa: S608 — our own table names
            assert not any(body in row for (row,) in cursor.fetchall()), model


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "auth.missing"),
        ("Bearer aigc_00000000_x", "auth.missing"),
        ("Token", "auth.invalid"),
        ("Token ", "auth.invalid"),
        ("Token aigc_00000000_wrong", "auth.invalid"),
        ("Token two words", "auth.invalid"),
        ("Token \xff\xfe", "auth.invalid"),
    ],
)
def test_missing_and_wrong_tokens_are_401(header: str | None, code: str) -> None:
    assert get(header) == (401, code, "Token")


def test_expired_revoked_and_inactive_are_401(user: User) -> None:
    _, expired = create_token(user=user, name="old", expires_at=timezone.now() - timedelta(seconds=1))
    assert get(f"Token {expired}") == (401, "auth.expired", "Token")

    token, secret = create_token(user=user, name="lost", expires_at=timezone.now() + timedelta(days=1))
    assert get(f"Token {secret}")[0] == 200
    revoke_token(token=token)
    revoke_token(token=token)
    assert get(f"Token {secret}") == (401, "auth.invalid", "Token")

    _, orphan = create_token(user=user, name="left")
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert get(f"Token {orphan}") == (401, "auth.invalid", "Token")


def test_delete_revokes_at_once_and_only_once(client: APIClient) -> None:
    made = client.post("/api/v1/tokens", {"name": "laptop"}).json()
    assert client.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert get(f"Token {made['token']}")[0] == 401
    assert client.delete(f"/api/v1/tokens/{made['id']}").status_code == 404
    assert ApiToken.objects.get(pk=made["id"]).revoked_at is not None


def test_anothers_token_is_neither_listed_nor_deleted(client: APIClient, stranger: User) -> None:
    token, secret = create_token(user=stranger, name="theirs")
    assert str(token.id) not in {item["id"] for item in client.get("/api/v1/tokens").json()["results"]}
    assert client.delete(f"/api/v1/tokens/{token.id}").status_code == 404
    assert get(f"Token {secret}")[0] == 200


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (["*"], {"GET": 200, "POST": 201}),
        (["write"], {"GET": 403, "POST": 403}),
        (["read"], {"GET": 403, "POST": 403}),
        (["read", "*"], {"GET": 200, "POST": 201}),
    ],
)
def test_only_the_full_scope_may_touch_tokens(
    user: User, scopes: list[str], expected: dict[str, int]
) -> None:
    _, secret = create_token(user=user, name="narrow", scopes=scopes)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
    assert client.get("/api/v1/tokens").status_code == expected["GET"]
    made = client.post("/api/v1/tokens", {"name": "wider"})
    assert made.status_code == expected["POST"]
    if made.status_code == 403:
        assert made.json()["code"] == "auth.forbidden"


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/name", "field.required"),
        ({"name": ""}, "/name", "field.blank"),
        ({"name": "x" * 101}, "/name", "field.length"),
        ({"name": None}, "/name", "field.null"),
        ({"name": ["x"]}, "/name", "field.type"),
        ({"name": "x", "scopes": []}, "/scopes", "field.length"),
        ({"name": "x", "scopes": ["*", "root"]}, "/scopes/1", "field.choice"),
        ({"name": "x", "scopes": "*"}, "/scopes", "field.type"),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "/expires_at", "field.range"),
        ({"name": "x", "expires_at": "tomorrow"}, "/expires_at", "field.invalid"),
        ({"name": "x", "expire_at": None}, "/expire_at", "field.unknown"),
        ([], "", "field.invalid"),
        ("x", "", "field.invalid"),
        (None, "", "field.null"),
    ],
)
def test_each_bad_field_is_named(client: APIClient, body: object, pointer: str, code: str) -> None:
    response = client.post("/api/v1/tokens", json.dumps(body), content_type="application/json")
    assert response.status_code == 422, response.content
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [(pointer, code)]
    assert ApiToken.objects.filter(name="x").count() == 0


def test_last_use_is_written_at_most_once_a_minute(
    user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    token, secret = create_token(user=user, name="busy")
    get(f"Token {secret}")
    first = ApiToken.objects.get(pk=token.pk).last_used_at
    assert first is not None
    with django_assert_num_queries(2):  # the token with its owner, and the list
        get(f"Token {secret}")
    assert ApiToken.objects.get(pk=token.pk).last_used_at == first
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=first - timedelta(seconds=61))
    get(f"Token {secret}")
    later = ApiToken.objects.get(pk=token.pk).last_used_at
    assert later is not None
    assert later >= first


def test_a_token_without_a_scope_cannot_exist(user: User) -> None:
    with pytest.raises(IntegrityError, match="api_token_has_a_scope"), transaction.atomic():
        create_token(user=user, name="none", scopes=[])


def test_the_command_prints_a_working_token(user: User) -> None:
    out = StringIO()
    call_command("create_token", "--user", user.username, "--name", "ci", "--days", "1", stdout=out)
    assert get(f"Token {out.getvalue().strip()}")[0] == 200
    token = ApiToken.objects.get(name="ci")
    assert token.expires_at is not None

    read_only = StringIO()
    call_command("create_token", "--user", user.username, "--name", "ro", "--scope", "read", stdout=read_only)
    assert get(f"Token {read_only.getvalue().strip()}")[:2] == (403, "auth.forbidden")

    with pytest.raises(CommandError, match="nobody"):
        call_command("create_token", "--user", "nobody", "--name", "x")


def test_pages_follow_each_other_without_gaps(user: User) -> None:
    client = client_of(user)
    for index in range(7):
        create_token(user=user, name=f"t{index}")
    create_token(user=make_user(), name="not mine")
    names, url = [], "/api/v1/tokens?limit=3"
    while url:
        page = client.get(url).json()
        assert len(page["results"]) <= 3
        names += [token["name"] for token in page["results"]]
        url = page["next"]
    assert names == [*(f"t{index}" for index in reversed(range(7))), "tests"]

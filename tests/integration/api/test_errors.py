"""Every error answer is a problem document: right status, stable code, no traceback."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from rest_framework import exceptions as drf
from rest_framework.decorators import api_view, permission_classes
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient

from aigc_platform import urls as real_urls
from aigc_platform.common.exceptions import (
    ConflictError,
    FieldProblem,
    InvalidInputError,
    NotFoundError,
    PlatformError,
    UnavailableError,
)

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "errors", "trace_id"}
_raise: list[Callable[[], Exception]] = []


def _next_error() -> Exception:
    return _raise[-1]()


@api_view(["GET", "POST"])
@permission_classes([])
def failing_view(request: Request) -> Response:
    raise _next_error()


def failing_plain_view(request: HttpRequest) -> HttpResponse:
    raise _next_error()


urlpatterns = [
    *real_urls.urlpatterns,
    path("api/fails", failing_view),
    path("api/fails-plainly", failing_plain_view),
]
handler400, handler403 = real_urls.handler400, real_urls.handler403
handler404, handler500 = real_urls.handler404, real_urls.handler500


def problem_of(response: Any) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.content)
    assert problem.keys() == MEMBERS
    assert problem["status"] == response.status_code
    assert problem["type"] == f"urn:aigc-platform:problem:{problem['code']}"
    assert problem["trace_id"] == response.headers["X-Request-Id"]
    assert len(problem["trace_id"]) == 32
    assert "Traceback" not in response.content.decode()
    return problem


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda: InvalidInputError("no"), 422, "request.invalid"),
        (NotFoundError, 404, "request.not_found"),
        (ConflictError, 409, "request.conflict"),
        (UnavailableError, 503, "platform.unavailable"),
        (PlatformError, 500, "platform.internal_error"),
        (lambda: drf.ValidationError({"a": ["b"]}), 422, "request.invalid"),
        (drf.ParseError, 400, "request.not_json"),
        (drf.NotAuthenticated, 401, "auth.missing"),
        (drf.AuthenticationFailed, 401, "auth.invalid"),
        (lambda: drf.AuthenticationFailed("old", code="auth.expired"), 401, "auth.expired"),
        (drf.PermissionDenied, 403, "auth.forbidden"),
        (drf.NotFound, 404, "request.not_found"),
        (lambda: drf.MethodNotAllowed("PUT"), 405, "request.method_not_allowed"),
        (drf.NotAcceptable, 406, "request.not_acceptable"),
        (lambda: drf.UnsupportedMediaType("text/xml"), 415, "request.unsupported_media_type"),
        (lambda: drf.Throttled(wait=12.2), 429, "request.throttled"),
        (lambda: drf.APIException("odd"), 500, "request.failed"),
        (PermissionDenied, 403, "auth.forbidden"),
        (RequestDataTooBig, 413, "request.too_large"),
        (lambda: OperationalError("host=secret"), 503, "platform.database_unavailable"),
        (lambda: InterfaceError("closed"), 503, "platform.database_unavailable"),
        (lambda: RuntimeError("secret detail"), 500, "platform.internal_error"),
        (RecursionError, 500, "platform.internal_error"),
    ],
)
@override_settings(ROOT_URLCONF=__name__)
def test_each_exception_has_its_answer(make: Callable[[], Exception], status: int, code: str) -> None:
    _raise.append(make)
    response = APIClient(raise_request_exception=False).get("/api/fails")
    problem = problem_of(response)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["instance"] == "/api/fails"
    assert "secret" not in response.content.decode()
    assert response.headers.get("WWW-Authenticate") == ("Token" if status == 401 else None)
    assert response.headers.get("Retry-After") == {503: "5", 429: "13"}.get(status)


@override_settings(ROOT_URLCONF=__name__)
def test_the_fields_of_a_platform_error_are_listed() -> None:
    _raise.append(lambda: InvalidInputError("Two.", errors=[FieldProblem("/a/0", "field.range", "Too big.")]))
    problem = problem_of(APIClient().get("/api/fails"))
    assert problem["detail"] == "Two."
    assert problem["errors"] == [{"pointer": "/a/0", "code": "field.range", "message": "Too big."}]


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda: RuntimeError("secret"), 500, "platform.internal_error"),
        (lambda: PermissionDenied("secret"), 403, "auth.forbidden"),
        (lambda: RequestDataTooBig("secret"), 400, "request.malformed"),
    ],
)
@override_settings(ROOT_URLCONF=__name__)
def test_plain_django_views_answer_in_the_same_form(
    make: Callable[[], Exception], status: int, code: str
) -> None:
    _raise.append(make)
    response = Client(raise_request_exception=False).get("/api/fails-plainly")
    assert (problem_of(response)["status"], problem_of(response)["code"]) == (status, code)
    assert b"secret" not in response.content


@pytest.mark.parametrize("address", ["/api/v1/nothing", "/api/v2/tokens", "/", "/api/v1/tokens/not-a-uuid"])
def test_unknown_addresses_are_404_problems(address: str) -> None:
    assert problem_of(Client().get(address))["code"] == "request.not_found"


def test_a_wrong_host_is_a_400_problem() -> None:
    response = Client().get("/api/v1/tokens", headers={"Host": "evil.example"})
    assert problem_of(response)["code"] == "request.malformed"


@pytest.mark.django_db
class TestBodies:
    def test_what_is_not_json(self, client: APIClient) -> None:
        response = client.post("/api/v1/tokens", "{not json", content_type="application/json")
        assert (problem_of(response)["status"], problem_of(response)["code"]) == (400, "request.not_json")

    @pytest.mark.parametrize(
        "media_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""]
    )
    def test_wrong_content_type(self, client: APIClient, media_type: str) -> None:
        response = client.generic("POST", "/api/v1/tokens", '{"name": "x"}', content_type=media_type)
        assert problem_of(response)["code"] == "request.unsupported_media_type"
        assert response.status_code == 415

    def test_ten_megabytes_are_refused_unread(self, client: APIClient) -> None:
        response = client.generic(
            "POST", "/api/v1/tokens", '"' + "x" * 10_000_000 + '"', content_type="application/json"
        )
        assert problem_of(response)["code"] == "request.too_large"
        assert response.status_code == 413

    def test_the_limit_itself_is_read(self, client: APIClient, settings: Any) -> None:
        settings.JSON_BODY_MAX_BYTES = 40
        body = '{"name": "a"}'.ljust(40)
        post = client.generic("POST", "/api/v1/tokens", body, content_type="application/json")
        assert post.status_code == 201
        post = client.generic("POST", "/api/v1/tokens", body + " ", content_type="application/json")
        assert post.status_code == 413

    def test_a_body_of_unknown_length_is_refused(self, client: APIClient) -> None:
        response = client.generic("GET", "/api/v1/tokens", headers={"Transfer-Encoding": "chunked"})
        assert problem_of(response)["code"] == "request.length_required"
        assert response.status_code == 411

    def test_text_that_cannot_be_stored(self, client: APIClient) -> None:
        response = client.post("/api/v1/tokens", r'{"name": "a\u0000"}', content_type="application/json")
        assert problem_of(response)["errors"][0]["pointer"] == "/name"

    def test_an_unknown_method_is_405_and_says_which_are_known(self, client: APIClient) -> None:
        response = client.put("/api/v1/tokens", {})
        assert problem_of(response)["code"] == "request.method_not_allowed"
        assert response.headers["Allow"] == "GET, POST, HEAD, OPTIONS"

    def test_only_json_is_served(self, client: APIClient) -> None:
        response = client.get("/api/v1/tokens", headers={"Accept": "text/html"})
        assert problem_of(response)["code"] == "request.not_acceptable"

    @pytest.mark.parametrize("limit", ["0", "-1", "101", "many", "", "1.5", "٣x"])
    def test_a_bad_limit_is_named(self, client: APIClient, limit: str) -> None:
        problem = problem_of(client.get("/api/v1/tokens", {"limit": limit}))
        assert (problem["status"], problem["errors"][0]["pointer"]) == (422, "?limit")

    @pytest.mark.parametrize("cursor", ["x", "cD1ub3RhdGltZQ==", "%00", "bz0tMQ=="])
    def test_a_foreign_cursor_is_named_or_harmless(self, client: APIClient, cursor: str) -> None:
        response = client.get("/api/v1/tokens", {"cursor": cursor})
        if response.status_code != 200:
            assert problem_of(response)["errors"][0]["pointer"] == "?cursor"
            assert response.status_code == 422


@pytest.mark.django_db
def test_the_trace_of_the_caller_is_kept_and_bad_ones_are_replaced(client: APIClient) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    def answered(traceparent: str) -> str:
        response = client.get("/api/v1/tokens", headers={"traceparent": traceparent})
        return str(response.headers["X-Request-Id"])

    assert answered(f"00-{trace_id}-b7ad6b7169203331-01") == trace_id
    for bad in (
        "",
        "nonsense",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{trace_id.upper()}-b7ad6b7169203331-01",
    ):
        assert answered(bad) not in {trace_id, "0" * 32}
    assert len({answered("") for _ in range(3)}) == 3

"""Every error of the API becomes one problem document; no traceback ever reaches a client."""

import math
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions as drf

from aigc_platform.api.pointers import problems_of_drf
from aigc_platform.api.problems import (
    DATABASE_UNAVAILABLE,
    INTERNAL_ERROR,
    Problem,
    problem_response,
)
from aigc_platform.common.exceptions import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PlatformError,
    UnavailableError,
)

logger = structlog.get_logger(__name__)

_STATUS_OF_PLATFORM_ERROR: tuple[tuple[type[PlatformError], int], ...] = (
    (InvalidInputError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnavailableError, 503),
)
_RETRY_AFTER_SECONDS = "5"
NOT_FOUND_DETAIL = "There is no such thing, or it is not yours."


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """Answer an exception raised by a DRF view (REST_FRAMEWORK["EXCEPTION_HANDLER"])."""
    problem = _known_problem(error)
    if problem is None:
        logger.error("request_failed", exc_info=error, path=context["request"].path)
        problem = INTERNAL_ERROR
    elif problem.status >= 500:
        logger.warning("request_unavailable", exc_info=error, code=problem.code)
    return problem_response(context["request"], problem)


def problem_of_platform_error(error: PlatformError) -> Problem | None:
    """Return the answer for an error raised on purpose, or None if it is nobody's to see."""
    for kind, status in _STATUS_OF_PLATFORM_ERROR:
        if isinstance(error, kind):
            headers = {"Retry-After": _RETRY_AFTER_SECONDS} if status == 503 else {}
            return Problem(status, error.code, error.message, error.errors, headers)
    return None


def _known_problem(error: Exception) -> Problem | None:
    match error:
        case PlatformError():
            return problem_of_platform_error(error)
        case drf.APIException():
            return _problem_of_drf(error)
        case Http404():
            return Problem(404, "request.not_found", NOT_FOUND_DETAIL)
        case DjangoPermissionDenied():
            return Problem(403, "auth.forbidden", "You may not do this.")
        case RequestDataTooBig():
            return Problem(413, "request.too_large", "The body is larger than this API reads.")
        case OperationalError() | InterfaceError():
            return DATABASE_UNAVAILABLE
        case _:
            return None


def _problem_of_drf(error: drf.APIException) -> Problem:
    headers = _headers_of_drf(error)
    match error:
        case drf.ValidationError():
            errors = problems_of_drf(error.detail)
            return Problem(422, "request.invalid", "The request is not valid; see errors.", errors)
        case drf.ParseError():
            return Problem(400, "request.not_json", str(error.detail))
        case drf.NotAuthenticated():
            detail = "Send your API token in the header: Authorization: Token <token>."
            return Problem(401, "auth.missing", detail, headers=headers)
        case drf.AuthenticationFailed():
            return Problem(401, _code(error, "auth.invalid"), str(error.detail), headers=headers)
        case drf.PermissionDenied():
            return Problem(403, _code(error, "auth.forbidden"), str(error.detail))
        case drf.NotFound():
            return Problem(404, _code(error, "request.not_found"), str(error.detail))
        case drf.MethodNotAllowed():
            return Problem(405, "request.method_not_allowed", str(error.detail), headers=headers)
        case drf.NotAcceptable():
            return Problem(406, "request.not_acceptable", "Accept application/json.")
        case drf.UnsupportedMediaType():
            detail = "Send the body as JSON, with Content-Type: application/json."
            return Problem(415, "request.unsupported_media_type", detail)
        case drf.Throttled():
            return Problem(429, "request.throttled", str(error.detail), headers=headers)
        case _:
            return Problem(error.status_code, _code(error, "request.failed"), str(error.detail))


def _headers_of_drf(error: drf.APIException) -> dict[str, str]:
    headers = {}
    # `auth_header` is put on the exception by APIView.handle_exception.
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    return headers


def _code(error: drf.APIException, default: str) -> str:
    """Return the error's own code if it is one of ours (they have a dot), else the default."""
    codes = error.get_codes()
    return codes if isinstance(codes, str) and "." in codes else default


def not_found(request: HttpRequest, _exception: Exception) -> HttpResponse:
    """Answer an address that no route matches."""
    return problem_response(request, Problem(404, "request.not_found", NOT_FOUND_DETAIL))


def bad_request(request: HttpRequest, _exception: Exception) -> HttpResponse:
    """Answer a request that Django itself refuses, for example for its Host header."""
    detail = "The request is malformed or for another host."
    return problem_response(request, Problem(400, "request.malformed", detail))


def permission_denied(request: HttpRequest, _exception: Exception) -> HttpResponse:
    return problem_response(request, Problem(403, "auth.forbidden", "You may not do this."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an exception outside of a DRF view. Django has logged it with its traceback."""
    return problem_response(request, INTERNAL_ERROR)

"""Refuse bodies that are too large before a byte of them is read."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from aigc_platform.api.problems import Problem, problem_response

_API_PREFIX = "/api/"


class BodyLimitMiddleware:
    """Answer 413 to an API request whose declared body is larger than JSON_BODY_MAX_BYTES.

    Files never pass through here: they go straight to the object store.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(_API_PREFIX):
            problem = _problem_with_body(request)
            if problem is not None:
                return problem_response(request, problem)
        return self._get_response(request)


def _problem_with_body(request: HttpRequest) -> Problem | None:
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdecimal():
        limit = settings.JSON_BODY_MAX_BYTES
        if int(length) > limit:
            return Problem(
                413, "request.too_large", f"The body has {length} bytes; this API reads at most {limit}."
            )
        return None
    if "HTTP_TRANSFER_ENCODING" in request.META:
        # A body of unknown length cannot be bounded beforehand.
        return Problem(411, "request.length_required", "Send the body with a Content-Length header.")
    return None

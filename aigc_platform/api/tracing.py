"""One id for everything a request causes: in its answer, its log lines and the jobs it makes."""

import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar

import structlog
from django.http import HttpRequest, HttpResponse

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NO_TRACE = "0" * 32
_trace_id: ContextVar[str] = ContextVar("trace_id", default="")


class TracingMiddleware:
    """Take the trace id of a W3C `traceparent` header, or make one; answer with it as `X-Request-Id`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        trace_id = _accepted_trace_id(request) or secrets.token_hex(16)
        reset = _trace_id.set(trace_id)
        try:
            with structlog.contextvars.bound_contextvars(trace_id=trace_id):
                response = self._get_response(request)
        finally:
            _trace_id.reset(reset)
        response.headers["X-Request-Id"] = trace_id
        return response


def current_trace_id() -> str:
    """Return the trace id of the request being answered, 32 hex digits; empty outside of one."""
    return _trace_id.get()


def _accepted_trace_id(request: HttpRequest) -> str | None:
    match = _TRACEPARENT.fullmatch(request.headers.get("traceparent", "").strip())
    return match[1] if match and match[1] != _NO_TRACE else None

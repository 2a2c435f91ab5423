"""Error answers: `application/problem+json` (RFC 9457) with a stable `code` and a pointer per bad field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, JsonResponse

from aigc_platform.api.tracing import current_trace_id
from aigc_platform.common.exceptions import FieldProblem

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Problem:
    """One error answer.

    Attributes:
        code: stable, machine-readable; clients branch on it.
        detail: what was wrong and what to do, for a person.
    """

    status: int
    code: str
    detail: str
    errors: Sequence[FieldProblem] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self, instance: str) -> dict[str, Any]:
        return {
            "type": f"urn:aigc-platform:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "errors": [error.as_dict() for error in self.errors],
            "trace_id": current_trace_id(),
        }


INTERNAL_ERROR = Problem(
    500, "platform.internal_error", "Something went wrong on our side; report the trace_id to the operator."
)
DATABASE_UNAVAILABLE = Problem(
    503,
    "platform.database_unavailable",
    "The database is not reachable right now; try again shortly.",
    headers={"Retry-After": "5"},
)


def problem_response(request: HttpRequest, problem: Problem) -> JsonResponse:
    """Render a problem; works in views, in middleware and in Django's own error handlers."""
    return JsonResponse(
        problem.as_dict(instance=request.path),
        status=problem.status,
        content_type=MEDIA_TYPE,
        headers=dict(problem.headers),
    )

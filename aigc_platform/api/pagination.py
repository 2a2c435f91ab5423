"""Lists: `{"next", "previous", "results"}`, newest first, stable while rows are added."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework import pagination
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aigc_platform.common.exceptions import FieldProblem, InvalidInputError

_MAX_LIMIT = 100


class CursorPagination(pagination.CursorPagination):
    """Pages of `?limit=` rows (1 to 100, default 50) after an opaque `?cursor=`."""

    page_size = 50
    max_page_size = _MAX_LIMIT
    page_size_query_param = "limit"
    ordering = ("-created_at", "-id")

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValidationError, ValueError, DataError) as error:
            raise _bad_cursor() from error

    def decode_cursor(self, request: Request) -> Any:
        try:
            return super().decode_cursor(request)
        except NotFound as error:
            raise _bad_cursor() from error

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page to drf-spectacular."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("limit")
        if text is None:
            return self.page_size
        if not text.isdecimal() or not 1 <= int(text) <= _MAX_LIMIT:
            message = f"limit must be a whole number from 1 to {_MAX_LIMIT}."
            raise InvalidInputError(errors=[FieldProblem("?limit", "field.range", message)])
        return int(text)


class IndexOrderPagination(CursorPagination):
    """Pages in order of `index`, for the outputs of a job."""

    ordering = ("index", "id")


def only_page(results: Any) -> Response:
    """Answer a list that always fits one page, in the form of the others."""
    return Response({"next": None, "previous": None, "results": results})


def _bad_cursor() -> InvalidInputError:
    message = "This cursor was not made by this list; take it from next or previous."
    return InvalidInputError(errors=[FieldProblem("?cursor", "field.invalid", message)])

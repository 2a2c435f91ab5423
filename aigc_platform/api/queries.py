"""Query parameters: checked like bodies, with `?name` in place of a pointer."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from aigc_platform.api.pointers import problems_of_drf
from aigc_platform.common.exceptions import FieldProblem, InvalidInputError


class QueryFilterBackend(DjangoFilterBackend):
    """django-filter, with its errors in our form."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            raise _invalid(translate_validation(filterset.errors))
        filtered: QuerySet[Any] = filterset.qs
        return filtered


def parse_query(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the query parameters that `kind` describes, with its defaults.

    Raises:
        InvalidInputError: one of them is not valid.
    """
    serializer = kind(data=request.query_params.dict())
    try:
        serializer.is_valid(raise_exception=True)
    except serializers.ValidationError as error:
        raise _invalid(error) from error
    values: dict[str, Any] = serializer.validated_data
    return values


def _invalid(error: serializers.ValidationError) -> InvalidInputError:
    problems = problems_of_drf(error.detail)
    return InvalidInputError(
        "A query parameter is not valid; see errors.",
        errors=[FieldProblem(f"?{item.pointer.lstrip('/')}", item.code, item.message) for item in problems],
    )

"""Pages of long lists, without counting millions of rows for a number nobody reads."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.views import ChangeList

COUNT_CAP = 10_000
"""Rows past this are reached by search and filters, not by turning pages."""


class CappedChangeList(ChangeList):
    """Says "so many results" only where a search or a filter left rows out."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class CappedPaginator(Paginator[Any]):
    """Counts at most `COUNT_CAP` rows, so a list costs the same with ten thousand jobs and with ten million."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # lists of the admin are querysets
        return rows.order_by().values("pk")[:COUNT_CAP].count()

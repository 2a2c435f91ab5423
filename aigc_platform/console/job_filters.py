"""How an operator narrows the list of jobs."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import CharField, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, MultipleDropdownFilter

from aigc_platform.jobs.kinds import kind_names
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.states import JobStatus


class KindFilter(DropdownFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Job]) -> list[tuple[str, str]]:
        return [(name, name.replace("_", " ").capitalize()) for name in kind_names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class StatusFilter(MultipleDropdownFilter):
    """One or several statuses: `?status=starting&status=running`."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Job]) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in JobStatus.choices]

    def value(self) -> list[str]:
        return [value for value in self.request.GET.getlist(self.parameter_name) if value]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(status__in=self.value()) if self.value() else queryset


def jobs_matching(queryset: QuerySet[Job], term: str) -> QuerySet[Job]:
    """Return the jobs that an operator may mean by `term`.

    Args:
        term: part of a job's id, of the name of its model or data set, or of a label; or exactly `label=value`.
    """
    name, is_label, value = term.partition("=")
    if is_label:
        return queryset.filter(labels__contains={name.strip(): value.strip()})
    found: Any = (
        Q(id_text__icontains=term)
        | Q(labels_text__icontains=term)
        | Q(spec__model__icontains=term)
        | Q(spec__name__icontains=term)
    )
    return queryset.alias(id_text=Cast("id", CharField()), labels_text=Cast("labels", TextField())).filter(
        found
    )

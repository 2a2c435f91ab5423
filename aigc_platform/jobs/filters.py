"""How lists of jobs and artifacts are narrowed by query parameters."""

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from aigc_platform.jobs.kinds import kind_names
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.states import JobStatus


class _Choices(django_filters.BaseInFilter, django_filters.ChoiceFilter):
    """One or several of the choices, separated by commas."""


class _LabelField(forms.CharField):
    def clean(self, value: Any) -> dict[str, str] | None:
        text = super().clean(value)
        name, separator, content = text.partition(":")
        if text and not separator:
            raise forms.ValidationError("Write the name and the value of a label as name:value.")
        return {name: content} if text else None


@extend_schema_field(OpenApiTypes.STR)
class _LabelFilter(django_filters.Filter):
    field_class = _LabelField

    def filter(self, jobs: QuerySet[Job], label: dict[str, str] | None) -> QuerySet[Job]:
        return jobs if label is None else jobs.filter(labels__contains=label)


class _DeletedFilter(django_filters.ChoiceFilter):
    """Deleted jobs are listed only on request: without the parameter this filter still applies."""

    def filter(self, jobs: QuerySet[Job], wanted: str | None) -> QuerySet[Job]:
        return jobs.filter(deletion_requested_at__isnull=wanted != "true")


class JobFilter(django_filters.FilterSet):
    status = _Choices(choices=JobStatus.choices, help_text="One or several, separated by commas.")
    kind = _Choices(
        choices=lambda: [(name, name) for name in kind_names()],
        help_text="One or several, separated by commas.",
    )
    label = _LabelFilter(help_text="`name:value` of a label the job must have.")
    deleted = _DeletedFilter(
        choices=[("true", "true"), ("false", "false")],
        help_text="`true` lists the deleted jobs, which are left out otherwise.",
    )
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")


class ArtifactFilter(django_filters.FilterSet):
    role = django_filters.CharFilter(help_text="For example image, archive, grid, snapshot, metrics.")

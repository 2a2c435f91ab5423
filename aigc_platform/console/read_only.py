"""Admin classes for rows that only services may write."""

from typing import Any

from django.contrib.admin import ShowFacets
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin, TabularInline

from aigc_platform.console.paging import COUNT_CAP, CappedChangeList, CappedPaginator


class ReadOnlyAdmin(ModelAdmin):
    """Shows rows and never adds, changes or deletes one; actions call services."""

    paginator = CappedPaginator
    show_full_result_count = False
    # Counting every choice of every filter reads the whole table once for each.
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    count_cap = COUNT_CAP
    list_filter_submit = True
    list_after_template = "console/list_note.html"

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what this class's own template shows above the fields of a row."""
        return {}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return CappedChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context = {} if row is None else self.page_context(request, row)
        page: HttpResponse = super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )
        return page

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether this person may call services on the rows: Django's change permission, though no form changes one."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")


class ReadOnlyInline(TabularInline):
    """Rows below their parent, page by page; who may see the parent may see them."""

    extra = 0
    max_num = 0
    can_delete = False
    per_page = 25
    hide_title = True
    show_count = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

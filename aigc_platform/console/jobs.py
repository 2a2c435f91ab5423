"""Jobs and workers in the admin: everything to see, nothing to write but through the job services."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from aigc_platform.accounts.models import User
from aigc_platform.console import markup
from aigc_platform.console.job_actions import ACTIONS, MOST_AT_ONCE, perform, tell
from aigc_platform.console.job_filters import KindFilter, StatusFilter, jobs_matching
from aigc_platform.console.job_inlines import ArtifactInline, AttemptInline, CheckpointInline, EventInline
from aigc_platform.console.job_page import job_page
from aigc_platform.console.read_only import ReadOnlyAdmin
from aigc_platform.jobs.models import Job


class OperatorRequest(HttpRequest):
    """A request that the admin site has let in: its user is logged in."""

    user: User


def _since(at: datetime) -> str:
    return markup.duration(timezone.now() - at)


def _list_action(name: str) -> Callable[..., None]:
    """Return the list's form of an action."""

    @admin.action(permissions=["operate"], description=f"{ACTIONS[name].title} selected jobs")
    def act(model_admin: "JobAdmin", request: OperatorRequest, queryset: QuerySet[Job]) -> None:
        model_admin.act_on(request, name, queryset)

    act.__name__ = f"{name}_jobs"
    return act


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("subject", "status_label", "progress_bar", "owner", "time", "created")
    list_display_links = ("subject",)
    list_filter = (StatusFilter, KindFilter, ("owner", AutocompleteSelectFilter))
    list_select_related = ("owner",)
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("id",)
    search_help_text = "Id, model, data set, label or label=value"
    actions = tuple(_list_action(name) for name in ACTIONS)
    inlines = (AttemptInline, ArtifactInline, CheckpointInline, EventInline)
    change_form_outer_before_template = "console/job.html"
    fieldsets = (
        ("Result", {"classes": ("tab",), "fields": ("output_json", "error_json")}),
        ("Request", {"classes": ("tab",), "fields": ("spec_json", "spec_sha256", "idempotency_key")}),
        ("State", {"classes": ("tab",), "fields": ("id", "status", "status_reason", "desired", "fence", "run_at")}),
    )  # fmt: skip
    readonly_fields = ("output_json", "error_json", "spec_json")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return super().get_queryset(request).select_related("owner", "lease_worker", "retried_from")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        term = search_term.strip()
        return (jobs_matching(queryset, term) if term else queryset), False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<uuid:job_id>/panel/", wrap(self.panel_view), name="jobs_job_panel"),
            path("<uuid:job_id>/do/<slug:name>/", wrap(require_POST(self.action_view)), name="jobs_job_do"),
        ]
        return own + list(super().get_urls())

    def page_context(self, request: HttpRequest, row: Job) -> dict[str, Any]:
        return {"page": job_page(row, may_operate=self.has_operate_permission(request))}

    def panel_view(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        """Answer with the top of the page alone, for its refresh."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = get_object_or_404(self.get_queryset(request), pk=job_id)
        return TemplateResponse(request, "console/job_panel.html", self.page_context(request, job))

    def action_view(self, request: OperatorRequest, job_id: UUID, name: str) -> HttpResponse:
        """Do one thing with one job: the page's buttons."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        if name not in ACTIONS:
            raise Http404
        account = perform(ACTIONS[name], [get_object_or_404(Job, pk=job_id)], request.user)
        tell(request, ACTIONS[name], account)
        shown = account.done[0].pk if account.done else job_id
        return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[shown]))

    def act_on(self, request: OperatorRequest, name: str, jobs: QuerySet[Job]) -> None:
        """Do one thing with the selected jobs, one service call each."""
        chosen = list(jobs[: MOST_AT_ONCE + 1])
        if len(chosen) > MOST_AT_ONCE:
            messages.error(
                request,
                f"Nothing was done: choose at most {MOST_AT_ONCE} jobs at a time, by filters or page by page.",
            )
            return
        tell(request, ACTIONS[name], perform(ACTIONS[name], chosen, request.user))

    @display(description="job")
    def subject(self, job: Job) -> SafeString:
        return format_html(
            '<span class="c-subject"><strong>{}</strong> <code title="{}">…{}</code></span>',
            markup.subject(job),
            job.pk,
            str(job.pk)[-12:],
        )

    @display(description="status", label=markup.STATUS_TONES)
    def status_label(self, job: Job) -> str:
        return job.status

    @display(description="progress")
    def progress_bar(self, job: Job) -> str:
        return markup.progress_bar(job.progress, job.status)

    @display(description="time")
    def time(self, job: Job) -> str:
        if job.started_at is None:
            return markup.NOTHING if job.is_terminal else f"waits {_since(job.queued_at)}"
        if job.finished_at is None:
            return f"runs {_since(job.started_at)}"
        return f"ran {markup.duration(job.finished_at - job.started_at)}"

    @display(description="created", ordering="created_at")
    def created(self, job: Job) -> str:
        return markup.moment(job.created_at)

    @display(description="output")
    def output_json(self, job: Job) -> str:
        return markup.pretty_json(job.output)

    @display(description="error")
    def error_json(self, job: Job) -> str:
        return markup.pretty_json(job.error)

    @display(description="spec")
    def spec_json(self, job: Job) -> str:
        return markup.pretty_json(job.spec)

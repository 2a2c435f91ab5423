"""Worker processes in the admin: who serves which queue on which device, and who has gone silent."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html_join
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from aigc_platform.console import markup
from aigc_platform.console.job_page import link
from aigc_platform.console.read_only import ReadOnlyAdmin, ReadOnlyInline
from aigc_platform.jobs.models import Attempt, Job, Worker, WorkerState


def with_life(workers: QuerySet[Worker]) -> QuerySet[Any]:
    """Annotate `is_live` by the database's clock, and fetch the jobs that each worker holds."""
    oldest = Now() - timedelta(seconds=settings.LEASE_SECONDS)
    beats = ExpressionWrapper(
        Q(last_beat_at__gte=oldest) & ~Q(state=WorkerState.GONE), output_field=BooleanField()
    )
    held = Prefetch("leased_jobs", Job.objects.select_related("owner").order_by("started_at", "id"))
    return workers.annotate(is_live=beats).prefetch_related(held)


def state_of(worker: Any) -> str:
    """Return the state the worker told, or `silent` if it tells nothing any more."""
    return worker.state if worker.is_live or worker.state == WorkerState.GONE else "silent"


def device_words(worker: Worker) -> str:
    names = [str(device.get("name") or device.get("id", "?")) for device in worker.devices]
    return ", ".join(names) or markup.NOTHING


class LifeFilter(DropdownFilter):
    title = "life"
    parameter_name = "life"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "Beating now"), ("gone", "Stopped or silent")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in {"live", "gone"}:
            return queryset
        return queryset.filter(is_live=self.value() == "live")


class WorkerAttemptInline(ReadOnlyInline):
    """What the worker has run, newest first."""

    model = Attempt
    fields = readonly_fields = (
        "what",
        "number",
        "device",
        "started",
        "ran",
        "outcome",
        "reason",
        "exit_code",
    )
    verbose_name_plural = "attempts"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        return super().get_queryset(request).select_related("job").order_by("-started_at", "-id")

    @admin.display(description="job")
    def what(self, attempt: Attempt) -> str:
        return link("jobs_job", attempt.job_id, attempt.job)

    @admin.display(description="started")
    def started(self, attempt: Attempt) -> str:
        return markup.moment(attempt.started_at)

    @admin.display(description="ran")
    def ran(self, attempt: Attempt) -> str:
        return markup.duration(attempt.ended_at - attempt.started_at) if attempt.ended_at else "still runs"


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "state_label", "device", "queue_names", "runs", "last_beat")
    list_filter = (LifeFilter,)
    ordering = ("-last_beat_at",)
    sortable_by = ()
    search_fields = ("name", "host")
    inlines = (WorkerAttemptInline,)
    fields = readonly_fields = (
        "name", "state_label", "runs", "queue_names", "devices_json", "host", "pid", "started", "last_beat",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_life(super().get_queryset(request))

    @display(description="state", label=markup.WORKER_TONES)
    def state_label(self, worker: Worker) -> str:
        return state_of(worker)

    @display(description="device")
    def device(self, worker: Worker) -> str:
        return device_words(worker)

    @display(description="queues")
    def queue_names(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @display(description="runs")
    def runs(self, worker: Worker) -> str:
        held = [(link("jobs_job", job.pk, job.kind),) for job in worker.leased_jobs.all()]
        return format_html_join(", ", "{}", held) or markup.NOTHING

    @display(description="last beat")
    def last_beat(self, worker: Worker) -> str:
        return markup.moment(worker.last_beat_at)

    @display(description="started")
    def started(self, worker: Worker) -> str:
        return markup.moment(worker.started_at)

    @display(description="devices")
    def devices_json(self, worker: Worker) -> str:
        return markup.pretty_json(worker.devices)

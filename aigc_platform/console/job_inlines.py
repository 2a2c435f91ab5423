"""The rows that belong to a job, newest first, page by page."""

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from aigc_platform.accounts.models import User
from aigc_platform.console import markup
from aigc_platform.console.pictures import file_url
from aigc_platform.console.read_only import ReadOnlyInline
from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job, JobEvent


class EventInline(ReadOnlyInline):
    """The job's history. Progress reports are left out: the curves show them."""

    model = JobEvent
    classes = ("collapse",)
    fields = readonly_fields = ("seq", "when", "what", "who", "facts")
    verbose_name_plural = "events"

    def __init__(self, parent_model: type[Job], admin_site: admin.AdminSite) -> None:
        super().__init__(parent_model, admin_site)
        # Django makes inlines anew for each request, so a name is looked up once a page.
        self._names: dict[str, str] = {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobEvent]:
        rows = super().get_queryset(request).select_related("job")
        return rows.exclude(type__endswith=".progress").order_by("-seq")

    @admin.display(description="at")
    def when(self, event: JobEvent) -> str:
        return markup.exact_moment(event.at)

    @admin.display(description="event")
    def what(self, event: JobEvent) -> str:
        return format_html('<span class="c-nowrap">{}</span>', event.type.removeprefix(f"{event.job.kind}."))

    @admin.display(description="by")
    def who(self, event: JobEvent) -> str:
        role, _, identity = event.actor.partition(":")
        words = f"{role} {self._name(identity)}" if role in {"user", "admin"} else f"{role} {identity}"
        return format_html('<span title="{}">{}</span>', event.actor, words)

    @admin.display(description="facts")
    def facts(self, event: JobEvent) -> str:
        return markup.one_line_json({name: value for name, value in event.data.items() if value != ""})

    def _name(self, user_id: str) -> str:
        if user_id not in self._names:
            try:
                names = User.objects.filter(pk=user_id).values_list("username", flat=True)
                self._names[user_id] = names.first() or user_id
            except ValidationError:
                self._names[user_id] = user_id
        return self._names[user_id]


class AttemptInline(ReadOnlyInline):
    model = Attempt
    fields = readonly_fields = (
        "number", "fence", "worker", "device", "started", "ran", "result", "reason", "exit_code", "resumed_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        rows = super().get_queryset(request).select_related("worker", "resumed_from", "job")
        return rows.order_by("-number")

    @admin.display(description="started")
    def started(self, attempt: Attempt) -> str:
        return markup.exact_moment(attempt.started_at)

    @admin.display(description="ran")
    def ran(self, attempt: Attempt) -> str:
        return markup.duration(attempt.ended_at - attempt.started_at) if attempt.ended_at else "still runs"

    @admin.display(description="outcome")
    def result(self, attempt: Attempt) -> str:
        return attempt.get_outcome_display() or markup.NOTHING

    @admin.display(description="resumed from")
    def resumed_at(self, attempt: Attempt) -> str:
        return f"step {attempt.resumed_from.step:,}" if attempt.resumed_from else "the start"


class ArtifactInline(ReadOnlyInline):
    model = Artifact
    classes = ("collapse",)
    fields = readonly_fields = ("role", "index", "file", "media_type", "bytes", "hash")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Artifact]:
        return super().get_queryset(request).select_related("job").order_by("role", "index")

    @admin.display(description="file")
    def file(self, artifact: Artifact) -> str:
        if artifact.job.deletion_requested_at is not None:
            return artifact.filename
        return format_html(
            '<a class="c-link c-nowrap" href="{}" download rel="noopener">{}</a>',
            file_url(artifact),
            artifact.filename,
        )

    @admin.display(description="size")
    def bytes(self, artifact: Artifact) -> str:
        return markup.size(artifact.size)

    @admin.display(description="SHA-256")
    def hash(self, artifact: Artifact) -> str:
        return markup.short_hash(artifact.sha256)


class CheckpointInline(ReadOnlyInline):
    model = Checkpoint
    classes = ("collapse",)
    fields = readonly_fields = (
        "step",
        "fence",
        "committed",
        "bytes",
        "stall",
        "is_best",
        "is_corrupt",
        "hash",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Checkpoint]:
        return super().get_queryset(request).order_by("-fence", "-step")

    @admin.display(description="committed")
    def committed(self, checkpoint: Checkpoint) -> str:
        return markup.exact_moment(checkpoint.committed_at)

    @admin.display(description="size")
    def bytes(self, checkpoint: Checkpoint) -> str:
        return markup.size(checkpoint.size)

    @admin.display(description="stood still")
    def stall(self, checkpoint: Checkpoint) -> str:
        return f"{checkpoint.stall_ms:,.0f} ms"

    @admin.display(description="manifest SHA-256")
    def hash(self, checkpoint: Checkpoint) -> str:
        return markup.short_hash(checkpoint.manifest_sha256)

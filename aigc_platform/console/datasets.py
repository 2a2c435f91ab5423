"""Data sets in the admin: where each stands, what is in it, and what was wrong with the files of a rejected one."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from aigc_platform.console import markup
from aigc_platform.console.job_page import Fact, link
from aigc_platform.console.pictures import file_url, picture_of
from aigc_platform.console.read_only import ReadOnlyAdmin, ReadOnlyInline
from aigc_platform.datasets.models import Dataset, DatasetStatus, DatasetVersion

STATUS_TONES = {
    DatasetStatus.UPLOADING: "default",
    DatasetStatus.VALIDATING: "info",
    DatasetStatus.READY: "success",
    DatasetStatus.REJECTED: "danger",
}


class VersionInline(ReadOnlyInline):
    model = DatasetVersion
    fields = readonly_fields = ("number", "samples", "image", "class_count", "files", "hash", "created")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DatasetVersion]:
        return super().get_queryset(request).select_related("data", "manifest").order_by("-number")

    @admin.display(description="samples")
    def samples(self, version: DatasetVersion) -> str:
        return f"{version.sample_count:,}"

    @admin.display(description="image")
    def image(self, version: DatasetVersion) -> str:
        return markup.pixels(width=version.width, height=version.height, channels=version.channels)

    @admin.display(description="classes")
    def class_count(self, version: DatasetVersion) -> str:
        return str(len(version.classes) or "none")

    @admin.display(description="files")
    def files(self, version: DatasetVersion) -> SafeString:
        return format_html(
            '<a class="c-link" href="{}" download>data</a> ({}), <a class="c-link" href="{}" download>manifest</a>',
            file_url(version.data),
            markup.size(version.data.size),
            file_url(version.manifest),
        )

    @admin.display(description="manifest SHA-256")
    def hash(self, version: DatasetVersion) -> str:
        return markup.short_hash(version.manifest_sha256)

    @admin.display(description="created")
    def created(self, version: DatasetVersion) -> str:
        return markup.moment(version.created_at)


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin):
    list_display = ("name", "status_label", "samples", "source", "owner", "created")
    list_filter = (("status", ChoicesDropdownFilter), ("owner", AutocompleteSelectFilter))
    list_select_related = ("owner",)
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("id", "name", "owner__username")
    inlines = (VersionInline,)
    change_form_outer_before_template = "console/dataset.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        newest = DatasetVersion.objects.filter(dataset=OuterRef("pk")).order_by("-number")
        rows: QuerySet[Any] = super().get_queryset(request).select_related("owner", "import_job")
        samples = Subquery(newest.values("sample_count")[:1])
        annotated: QuerySet[Any] = rows.annotate(samples_of_newest=samples)
        return annotated

    def get_fieldsets(self, request: HttpRequest, obj: Dataset | None = None) -> list[Any]:
        # The panel above says everything; without this Django would list every column.
        return []

    def page_context(self, request: HttpRequest, row: Dataset) -> dict[str, Any]:
        return {"page": _page(row)}

    @display(description="status", label=STATUS_TONES)
    def status_label(self, dataset: Dataset) -> str:
        return dataset.status

    @display(description="samples")
    def samples(self, dataset: Any) -> str:
        count = dataset.samples_of_newest
        return markup.NOTHING if count is None else f"{count:,}"

    @display(description="source")
    def source(self, dataset: Dataset) -> str:
        return _source(dataset)

    @display(description="created")
    def created(self, dataset: Dataset) -> str:
        return markup.moment(dataset.created_at)


def _page(dataset: Dataset) -> dict[str, Any]:
    """Return the contact sheet and class counts of the newest version, and the import's errors."""
    version = dataset.versions.select_related("preview").order_by("-number").first()
    counts = list(zip(version.classes, version.class_counts, strict=False)) if version else []
    most = max((count for _, count in counts), default=0)
    return {
        "dataset": dataset,
        "version": version,
        "tone": STATUS_TONES[DatasetStatus(dataset.status)],
        "sheet": picture_of(version.preview) if version and version.preview else None,
        "classes": [(name, count, round(100 * count / most)) for name, count in counts] if most else [],
        "pixels": version
        and markup.pixels(width=version.width, height=version.height, channels=version.channels),
        "error": dataset.error or {},
        "facts": _facts(dataset),
    }


def _facts(dataset: Dataset) -> list[Fact]:
    facts = [
        Fact("Owner", link("accounts_user", dataset.owner_id, dataset.owner)),
        Fact("Modality", dataset.get_modality_display()),
        Fact("Source", _source(dataset)),
        Fact("Image side asked for", f"{dataset.image_px} px" if dataset.image_px else "by the data"),
        Fact("Class folders", "required" if dataset.require_labels else "optional"),
        Fact("Created", markup.exact_moment(dataset.created_at)),
    ]
    if dataset.upload_size is not None:
        facts.append(Fact("Upload", markup.size(dataset.upload_size)))
        facts.append(Fact("Upload's SHA-256", markup.short_hash(dataset.upload_sha256)))
    if dataset.import_job_id:
        facts.append(Fact("Import", link("jobs_job", dataset.import_job_id, dataset.import_job)))
    return facts


def _source(dataset: Dataset) -> str:
    return f"built in: {dataset.builtin}" if dataset.builtin else "upload"

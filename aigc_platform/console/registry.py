"""Models and their versions in the admin: a sample grid first, then figures and where they come from."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter
from unfold.decorators import display

from aigc_platform.console import markup
from aigc_platform.console.job_page import Fact, link
from aigc_platform.console.model_card import Card, read_card
from aigc_platform.console.pictures import file_url, picture_of
from aigc_platform.console.read_only import ReadOnlyAdmin, ReadOnlyInline
from aigc_platform.datasets.models import DatasetVersion
from aigc_platform.jobs.models import Artifact
from aigc_platform.registry.models import Alias, Model, ModelVersion
from ml.catalog import RECIPES


def thumbnail(grid: Artifact | None, words: str) -> SafeString | str:
    """Return a small picture of a sample grid; nothing if there is none."""
    if grid is None:
        return markup.NOTHING
    return format_html(
        '<img class="c-thumbnail" loading="lazy" src="{}" alt="Sample grid of {}">', file_url(grid), words
    )


class RecipeFilter(DropdownFilter):
    title = "recipe"
    parameter_name = "recipe"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in RECIPES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
        return queryset.filter(recipe=self.value()) if self.value() else queryset


class VersionInline(ReadOnlyInline):
    model = ModelVersion
    fields = readonly_fields = ("grid_picture", "version", "recipe", "seen", "also", "created")
    verbose_name_plural = "versions"
    tab = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        rows = super().get_queryset(request).select_related("model", "grid").prefetch_related("aliases")
        return rows.order_by("-number")

    @admin.display(description="samples")
    def grid_picture(self, version: ModelVersion) -> SafeString | str:
        return thumbnail(version.grid, str(version))

    @admin.display(description="version")
    def version(self, version: ModelVersion) -> SafeString:
        return link("registry_modelversion", version.pk, version)

    @admin.display(description="trained on")
    def seen(self, version: ModelVersion) -> str:
        return f"{version.images_seen / 1000:,.1f} kimg"

    @admin.display(description="aliases")
    def also(self, version: ModelVersion) -> str:
        return ", ".join(alias.name for alias in version.aliases.all()) or markup.NOTHING

    @admin.display(description="published")
    def created(self, version: ModelVersion) -> str:
        return markup.moment(version.created_at)


@admin.register(Model)
class ModelAdmin(ReadOnlyAdmin):
    list_display = ("latest_grid", "name", "latest", "version_count", "owner", "created")
    list_display_links = ("latest_grid", "name")
    list_filter = (("owner", AutocompleteSelectFilter),)
    list_select_related = ("owner",)
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("id", "name", "owner__username")
    inlines = (VersionInline,)
    fields = readonly_fields = ("name", "owner", "created", "id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        latest = Alias.objects.filter(name="latest").select_related("version__grid")
        rows: QuerySet[Any] = super().get_queryset(request).select_related("owner")
        counted: QuerySet[Any] = rows.annotate(versions_published=Count("versions"))
        return counted.prefetch_related(Prefetch("aliases", latest, to_attr="latest_alias"))

    @display(description="samples")
    def latest_grid(self, model: Any) -> SafeString | str:
        return (
            thumbnail(model.latest_alias[0].version.grid, model.name)
            if model.latest_alias
            else markup.NOTHING
        )

    @display(description="latest")
    def latest(self, model: Any) -> SafeString | str:
        if not model.latest_alias:
            return markup.NOTHING
        version = model.latest_alias[0].version
        return link("registry_modelversion", version.pk, f"{model.name}:{version.number}")

    @display(description="versions")
    def version_count(self, model: Any) -> str:
        return str(model.versions_published)

    @display(description="created")
    def created(self, model: Model) -> str:
        return markup.moment(model.created_at)


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("grid_picture", "name", "recipe", "seen", "owner", "created")
    list_display_links = ("grid_picture", "name")
    list_filter = (RecipeFilter, ("model__owner", AutocompleteSelectFilter))
    list_select_related = ("model__owner", "grid")
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("id", "model__name", "model__owner__username")
    change_form_outer_before_template = "console/model_version.html"
    fieldsets = (
        ("While training", {"classes": ("tab",), "fields": ("metrics_json",)}),
        ("Settings", {"classes": ("tab",), "fields": ("config_json",)}),
        ("Model card", {"classes": ("tab",), "fields": ("card_json",)}),
    )
    readonly_fields = ("metrics_json", "config_json", "card_json")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        files = ("weights", "network", "card", "card_text", "card_picture", "grid")
        related = ("model__owner", "job", *files)
        return super().get_queryset(request).select_related(*related)

    def page_context(self, request: HttpRequest, row: ModelVersion) -> dict[str, Any]:
        return {"page": _page(row)}

    @display(description="samples")
    def grid_picture(self, version: ModelVersion) -> SafeString | str:
        return thumbnail(version.grid, str(version))

    @display(description="version")
    def name(self, version: ModelVersion) -> str:
        return str(version)

    @display(description="trained on")
    def seen(self, version: ModelVersion) -> str:
        return f"{version.images_seen / 1000:,.1f} kimg"

    @display(description="owner")
    def owner(self, version: ModelVersion) -> str:
        return str(version.model.owner)

    @display(description="published")
    def created(self, version: ModelVersion) -> str:
        return markup.moment(version.created_at)

    @display(description="statistics at the end")
    def metrics_json(self, version: ModelVersion) -> str:
        return markup.pretty_json(version.metrics)

    @display(description="settings")
    def config_json(self, version: ModelVersion) -> str:
        return markup.pretty_json(version.config)

    @display(description="model card")
    def card_json(self, version: ModelVersion) -> str:
        card = read_card(version.card)
        return card.problem or markup.pretty_json(card.content)


def _page(version: ModelVersion) -> dict[str, Any]:
    """Return what stands above the tabs: the grid, the files, the figures and the lineage."""
    files = [
        ("Weights", version.weights),
        ("Network", version.network),
        ("Model card", version.card_text),
        ("Card as JSON", version.card),
        ("Card as picture", version.card_picture),
    ]
    # What the page shows stands in the row: it needs no answer from the store.
    card = Card(version.card_content)
    return {
        "version": version,
        "aliases": [alias.name for alias in version.aliases.all()],
        "grid": picture_of(version.grid) if version.grid else None,
        "files": [(title, file_url(file), file) for title, file in files if file is not None],
        "facts": [*_facts(version), *([Fact("Licence", card.licence)] if card.licence else [])],
        "card": card,
        "sheet": picture_of(version.card_picture) if version.card_picture else None,
    }


def _facts(version: ModelVersion) -> list[Fact]:
    return [
        Fact("Model", link("registry_model", version.model_id, version.model)),
        Fact("Owner", link("accounts_user", version.model.owner_id, version.model.owner)),
        Fact("Recipe", version.recipe),
        Fact("Trained on", f"{version.images_seen:,} images"),
        Fact("Image", markup.pixels(width=version.width, height=version.height, channels=version.channels)),
        Fact("Classes", ", ".join(version.classes) or "unconditional"),
        Fact("Published", markup.moment(version.created_at)),
        Fact("Training", link("jobs_job", version.job_id, version.job)),
        Fact("Data set", _dataset_link(version)),
        Fact("Data manifest", markup.short_hash(version.dataset_manifest_sha256)),
        Fact("Weights", markup.short_hash(version.weights.sha256)),
        Fact("Code", version.code_version),
    ]


def _dataset_link(version: ModelVersion) -> SafeString | str:
    found = DatasetVersion.objects.select_related("dataset").filter(pk=version.dataset_version_id).first()
    if found is None:
        return f"version {version.dataset_version_id}, deleted since"
    return link("datasets_dataset", found.dataset_id, found)

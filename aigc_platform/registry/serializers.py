"""Models and versions as the API shows them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aigc_platform.api.serializers import ImageShapeSerializer
from aigc_platform.jobs.serializers import ArtifactSerializer
from aigc_platform.registry.models import Model, ModelVersion
from aigc_platform.registry.selectors import LATEST


class LineageSerializer(serializers.Serializer[Any]):
    """Everything that determined the weights."""

    job = serializers.UUIDField()
    dataset_version = serializers.UUIDField()
    dataset_manifest_sha256 = serializers.CharField()
    recipe = serializers.CharField()
    config = serializers.DictField()
    seed = serializers.IntegerField(allow_null=True)
    code_version = serializers.CharField()
    snapshot_sha256 = serializers.CharField()


class VersionUrlsSerializer(serializers.Serializer[Any]):
    self = serializers.URLField()
    model = serializers.URLField()
    job = serializers.URLField()


class VersionSummarySerializer(serializers.ModelSerializer[ModelVersion]):
    """A version in few words."""

    classes = serializers.ListField(child=serializers.CharField(), read_only=True)
    sha256 = serializers.CharField(source="weights.sha256", read_only=True, help_text="Of the weights.")
    grid = ArtifactSerializer(read_only=True, allow_null=True)

    class Meta:
        model = ModelVersion
        fields = ["id", "number", "recipe", "images_seen", "classes", "sha256", "grid", "created_at"]
        read_only_fields = fields


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """A published snapshot: files, card, figures and lineage. It never changes; only aliases move."""

    model = serializers.CharField(source="model.name", read_only=True)
    aliases = serializers.SerializerMethodField()
    classes = serializers.ListField(child=serializers.CharField(), read_only=True)
    image = serializers.SerializerMethodField()
    metrics = serializers.DictField(child=serializers.FloatField(), read_only=True)
    snapshot = ArtifactSerializer(source="weights", read_only=True)
    network = ArtifactSerializer(read_only=True)
    card = serializers.DictField(source="card_content", read_only=True)
    card_file = ArtifactSerializer(source="card", read_only=True, allow_null=True, help_text="As JSON.")
    card_text = ArtifactSerializer(read_only=True, allow_null=True, help_text="The card as Markdown.")
    card_picture = ArtifactSerializer(
        read_only=True,
        allow_null=True,
        help_text="The card as a sheet: samples, curves, figures, nearest images.",
    )
    grid = ArtifactSerializer(read_only=True, allow_null=True)
    lineage = serializers.SerializerMethodField()
    urls = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "model",
            "number",
            "aliases",
            "recipe",
            "classes",
            "image",
            "images_seen",
            "metrics",
            "snapshot",
            "network",
            "grid",
            "card",
            "card_file",
            "card_text",
            "card_picture",
            "lineage",
            "created_at",
            "urls",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_aliases(self, version: ModelVersion) -> list[str]:
        return sorted(alias.name for alias in version.aliases.all())

    @extend_schema_field(ImageShapeSerializer)
    def get_image(self, version: ModelVersion) -> dict[str, int]:
        return {"width": version.width, "height": version.height, "channels": version.channels}

    @extend_schema_field(LineageSerializer)
    def get_lineage(self, version: ModelVersion) -> dict[str, Any]:
        return {
            "job": version.job_id,
            "dataset_version": version.dataset_version_id,
            "dataset_manifest_sha256": version.dataset_manifest_sha256,
            "recipe": version.recipe,
            "config": version.config,
            "seed": version.config.get("seed"),
            "code_version": version.code_version,
            "snapshot_sha256": version.weights.sha256,
        }

    @extend_schema_field(VersionUrlsSerializer)
    def get_urls(self, version: ModelVersion) -> dict[str, str]:
        absolute = self.context["request"].build_absolute_uri
        model = f"/api/v1/models/{version.model.name}"
        return {
            "self": absolute(f"{model}/versions/{version.number}"),
            "model": absolute(model),
            "job": absolute(f"/api/v1/jobs/{version.job_id}"),
        }


class ModelUrlsSerializer(serializers.Serializer[Any]):
    self = serializers.URLField()
    versions = serializers.URLField()


class ModelSerializer(serializers.ModelSerializer[Model]):
    """A name that versions are published under, where its aliases point, and its latest version."""

    version_count = serializers.IntegerField(read_only=True)
    aliases = serializers.SerializerMethodField()
    latest = serializers.SerializerMethodField()
    urls = serializers.SerializerMethodField()

    class Meta:
        model = Model
        fields = ["id", "name", "created_at", "version_count", "aliases", "latest", "urls"]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_aliases(self, model: Model) -> dict[str, int]:
        return {alias.name: alias.version.number for alias in model.aliases.all()}

    @extend_schema_field(VersionSummarySerializer(allow_null=True))
    def get_latest(self, model: Model) -> dict[str, Any] | None:
        latest = next((alias.version for alias in model.aliases.all() if alias.name == LATEST), None)
        return VersionSummarySerializer(latest).data if latest else None

    @extend_schema_field(ModelUrlsSerializer)
    def get_urls(self, model: Model) -> dict[str, str]:
        absolute = self.context["request"].build_absolute_uri
        path = f"/api/v1/models/{model.name}"
        return {"self": absolute(path), "versions": absolute(f"{path}/versions")}

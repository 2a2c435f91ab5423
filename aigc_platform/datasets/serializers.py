"""Data sets as the API takes and shows them."""

from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from aigc_platform.api.serializers import (
    ErrorSerializer,
    FlagField,
    ImageShapeSerializer,
    ProblemItemSerializer,
    StrictSerializer,
    TextField,
    WholeNumberField,
)
from aigc_platform.datasets.models import Dataset, DatasetVersion, Modality
from aigc_platform.datasets.services import NewDataset, presigned_upload
from aigc_platform.jobs.serializers import ArtifactSerializer
from ml.catalog import MAX_IMAGE_PX, MIN_IMAGE_PX

_SHA256 = r"^[0-9a-fA-F]{64}\Z"
_LARGEST_SIZE = 2**63 - 1


@extend_schema_serializer(component_name="Dataset")
class DatasetRequestSerializer(StrictSerializer):
    """A built-in set by its name, or a data set whose archive is uploaded next."""

    name = TextField(max_length=100)
    modality = serializers.ChoiceField(choices=Modality.choices, default=Modality.IMAGE)
    builtin = TextField(max_length=50, default=None, allow_null=True, help_text="Import this built-in set.")
    image_px = WholeNumberField(
        min_value=MIN_IMAGE_PX,
        max_value=MAX_IMAGE_PX,
        default=None,
        allow_null=True,
        help_text="Side of the packed images in pixels; null chooses by the data.",
    )
    require_labels = FlagField(default=False, help_text="Refuse an archive without a folder for each class.")

    def wish(self) -> NewDataset:
        """Return the validated body as the services take it."""
        return NewDataset(**{name: value for name, value in self.validated_data.items() if name != "builtin"})


class CompletionSerializer(StrictSerializer):
    """What was uploaded."""

    sha256 = TextField(
        validators=[RegexValidator(_SHA256, "A SHA-256 has 64 hex digits.", code="field.pattern")],
        help_text="SHA-256 of the archive, 64 hex digits.",
    )
    size = WholeNumberField(min_value=1, max_value=_LARGEST_SIZE, help_text="Its size in bytes.")

    def validate_sha256(self, value: str) -> str:
        return value.lower()


class UploadSerializer(serializers.Serializer[Any]):
    """Post every field of `fields`, then the archive as `file`, to `url`."""

    url = serializers.URLField()
    fields = serializers.DictField(child=serializers.CharField())  # type: ignore[assignment]  # the form's own word
    expires_at = serializers.DateTimeField()
    max_bytes = serializers.IntegerField()


class DatasetUrlsSerializer(serializers.Serializer[Any]):
    self = serializers.URLField()
    complete = serializers.URLField()
    job = serializers.URLField(allow_null=True)


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A data set; what was found in it is null or empty until it is `ready`."""

    sample_count = serializers.SerializerMethodField()
    image = serializers.SerializerMethodField()
    classes = serializers.SerializerMethodField()
    class_counts = serializers.SerializerMethodField()
    version = serializers.SerializerMethodField()
    manifest_sha256 = serializers.SerializerMethodField()
    preview = serializers.SerializerMethodField()
    error = ErrorSerializer(read_only=True, allow_null=True, help_text="Why it was rejected.")
    errors = serializers.SerializerMethodField()  # type: ignore[assignment]  # a member of the answer, not the property
    job = serializers.UUIDField(source="import_job_id", read_only=True, allow_null=True)
    upload = serializers.SerializerMethodField()
    urls = serializers.SerializerMethodField()

    class Meta:
        model = Dataset
        fields = [
            "id",
            "name",
            "status",
            "modality",
            "builtin",
            "image_px",
            "require_labels",
            "sample_count",
            "image",
            "classes",
            "class_counts",
            "version",
            "manifest_sha256",
            "preview",
            "error",
            "errors",
            "job",
            "upload",
            "created_at",
            "urls",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_sample_count(self, dataset: Dataset) -> int | None:
        version = _newest(dataset)
        return version.sample_count if version else None

    @extend_schema_field(ImageShapeSerializer(allow_null=True))
    def get_image(self, dataset: Dataset) -> dict[str, int] | None:
        version = _newest(dataset)
        if version is None:
            return None
        return {"width": version.width, "height": version.height, "channels": version.channels}

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_classes(self, dataset: Dataset) -> list[str]:
        version = _newest(dataset)
        return version.classes if version else []

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_class_counts(self, dataset: Dataset) -> dict[str, int]:
        version = _newest(dataset)
        return dict(zip(version.classes, version.class_counts, strict=False)) if version else {}

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_version(self, dataset: Dataset) -> int | None:
        version = _newest(dataset)
        return version.number if version else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_manifest_sha256(self, dataset: Dataset) -> str | None:
        version = _newest(dataset)
        return version.manifest_sha256 if version else None

    @extend_schema_field(ArtifactSerializer(allow_null=True))
    def get_preview(self, dataset: Dataset) -> dict[str, Any] | None:
        version = _newest(dataset)
        return ArtifactSerializer(version.preview).data if version and version.preview else None

    @extend_schema_field(ProblemItemSerializer(many=True))
    def get_errors(self, dataset: Dataset) -> list[dict[str, str]]:
        return dataset.error["errors"] if dataset.error else []

    @extend_schema_field(UploadSerializer(allow_null=True))
    def get_upload(self, dataset: Dataset) -> dict[str, Any] | None:
        form = presigned_upload(dataset)
        if form is None:
            return None
        return {
            "url": form.url,
            "fields": form.fields,
            "expires_at": dataset.upload_expires_at,
            "max_bytes": settings.UPLOAD_MAX_BYTES,
        }

    @extend_schema_field(DatasetUrlsSerializer)
    def get_urls(self, dataset: Dataset) -> dict[str, str | None]:
        absolute = self.context["request"].build_absolute_uri
        path = f"/api/v1/datasets/{dataset.pk}"
        job_id = dataset.import_job_id
        return {
            "self": absolute(path),
            "complete": absolute(f"{path}/complete"),
            "job": absolute(f"/api/v1/jobs/{job_id}") if job_id else None,
        }


def _newest(dataset: Dataset) -> DatasetVersion | None:
    return max(dataset.versions.all(), key=lambda version: version.number, default=None)

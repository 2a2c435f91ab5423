"""Data sets: what a user named and brought, and the immutable packed versions made of it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aigc_platform.common.uuid7 import uuid7


class DatasetStatus(models.TextChoices):
    UPLOADING = "uploading"
    """Waits for the client to post the archive and to say `complete`."""
    VALIDATING = "validating"
    """An import job reads it."""
    READY = "ready"
    REJECTED = "rejected"
    """The import failed; `errors` says where and why."""


class Modality(models.TextChoices):
    IMAGE = "image"


class Dataset(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="datasets")
    name = models.CharField(max_length=100)
    modality = models.CharField(max_length=20, choices=Modality.choices, default=Modality.IMAGE)
    status = models.CharField(max_length=20, choices=DatasetStatus.choices)
    builtin = models.CharField(max_length=50, blank=True)
    image_px = models.PositiveIntegerField(null=True, blank=True)
    require_labels = models.BooleanField(default=False)
    upload_key = models.CharField(max_length=500, blank=True)
    upload_expires_at = models.DateTimeField(null=True, blank=True)
    upload_sha256 = models.CharField(max_length=64, blank=True)
    upload_size = models.BigIntegerField(null=True, blank=True)
    import_job = models.ForeignKey(
        "jobs.Job", on_delete=models.PROTECT, null=True, blank=True, related_name="imported_datasets"
    )
    error = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="dataset_status_is_known", condition=Q(status__in=DatasetStatus.values)
            ),
            models.CheckConstraint(
                name="dataset_error_set_exactly_when_rejected",
                condition=Q(status=DatasetStatus.REJECTED, error__isnull=False)
                | (~Q(status=DatasetStatus.REJECTED) & Q(error__isnull=True)),
            ),
        ]
        indexes = [models.Index(fields=["owner", "-created_at", "-id"], name="dataset_owner_newest")]
        verbose_name = "data set"

    def __str__(self) -> str:
        return self.name


class DatasetVersion(models.Model):
    """The packed form that training reads. Immutable: a change is a new version."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    import_job = models.OneToOneField("jobs.Job", on_delete=models.PROTECT, related_name="dataset_version")
    sample_count = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    channels = models.PositiveSmallIntegerField()
    classes = models.JSONField(default=list)
    class_counts = models.JSONField(default=list)
    manifest_sha256 = models.CharField(max_length=64)
    data = models.ForeignKey("jobs.Artifact", on_delete=models.PROTECT, related_name="+")
    manifest = models.ForeignKey("jobs.Artifact", on_delete=models.PROTECT, related_name="+")
    preview = models.ForeignKey(
        "jobs.Artifact", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="dataset_version_number_unique", fields=["dataset", "number"])
        ]

    def __str__(self) -> str:
        return f"{self.dataset}:{self.number}"

"""Models under names, their immutable versions, and the aliases that move."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from aigc_platform.common.uuid7 import uuid7


class Model(models.Model):
    """A name that versions are published under."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="models")
    name = models.SlugField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="model_name_unique_per_owner", fields=["owner", "name"])]
        indexes = [models.Index(fields=["owner", "-created_at", "-id"], name="model_owner_newest")]

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """A published snapshot with its lineage. Immutable."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    job = models.OneToOneField("jobs.Job", on_delete=models.PROTECT, related_name="model_version")
    # The data set's own tables stand beside this app, not below it: lineage keeps ids and hashes.
    dataset_version_id = models.UUIDField()
    dataset_manifest_sha256 = models.CharField(max_length=64)
    recipe = models.CharField(max_length=50)
    config = models.JSONField()
    classes = models.JSONField(default=list)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    channels = models.PositiveSmallIntegerField()
    images_seen = models.BigIntegerField()
    metrics = models.JSONField(default=dict)
    code_version = models.CharField(max_length=50)
    weights = models.ForeignKey("jobs.Artifact", on_delete=models.PROTECT, related_name="+")
    network = models.ForeignKey("jobs.Artifact", on_delete=models.PROTECT, related_name="+")
    card = models.ForeignKey("jobs.Artifact", on_delete=models.PROTECT, null=True, related_name="+")
    card_content = models.JSONField(default=dict)
    card_text = models.ForeignKey("jobs.Artifact", on_delete=models.PROTECT, null=True, related_name="+")
    card_picture = models.ForeignKey("jobs.Artifact", on_delete=models.PROTECT, null=True, related_name="+")
    grid = models.ForeignKey("jobs.Artifact", on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="model_version_number_unique", fields=["model", "number"])
        ]

    def __str__(self) -> str:
        return f"{self.model}:{self.number}"


class Alias(models.Model):
    """A movable name of one version; `latest` moves with each publication."""

    id = models.BigAutoField(primary_key=True)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="aliases")
    name = models.SlugField(max_length=64)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="aliases")
    moved_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="alias_name_unique_per_model", fields=["model", "name"])]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return f"{self.model}:{self.name}"

"""Writes: publishing a version."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Max
from django.db.models.functions import Now

from aigc_platform.jobs.models import Artifact, Job
from aigc_platform.registry.models import Alias, Model, ModelVersion
from aigc_platform.registry.selectors import LATEST


@dataclass(frozen=True)
class Publication:
    """A snapshot and where it comes from.

    Attributes:
        weights, network: the artifacts that hold the weights and how to build their network.
        card, card_content: the model card as JSON and what it says.
        card_text, card_picture: the same card as Markdown and as a sheet.
    """

    dataset_version_id: UUID
    dataset_manifest_sha256: str
    recipe: str
    config: dict[str, Any]
    classes: list[str]
    width: int
    height: int
    channels: int
    images_seen: int
    metrics: dict[str, Any]
    code_version: str
    weights: Artifact
    network: Artifact
    card: Artifact | None
    card_content: dict[str, Any]
    card_text: Artifact | None
    card_picture: Artifact | None
    grid: Artifact | None


def publish_version(*, job: Job, name: str, publication: Publication) -> ModelVersion:
    """Insert the next version of the owner's model `name` and move its alias `latest` there.

    Runs in the caller's transaction (the one that finishes the job), so a version exists exactly when its
    training succeeded. Two trainings that finish at once get two numbers.
    """
    Model.objects.bulk_create([Model(owner=job.owner, name=name)], ignore_conflicts=True)
    model = Model.objects.select_for_update().get(owner=job.owner, name=name)
    number = (model.versions.aggregate(last=Max("number"))["last"] or 0) + 1
    version = ModelVersion.objects.create(model=model, number=number, job=job, **vars(publication))
    Alias.objects.update_or_create(model=model, name=LATEST, defaults={"version": version, "moved_at": Now()})
    return version

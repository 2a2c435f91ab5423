"""Reads: models, and the version that a reference means."""

from uuid import UUID

from django.db.models import Count, Prefetch, QuerySet

from aigc_platform.accounts.models import User
from aigc_platform.registry.exceptions import ModelNotFoundError
from aigc_platform.registry.models import Alias, Model, ModelVersion

LATEST = "latest"


def models_of(owner: User) -> QuerySet[Model]:
    return Model.objects.filter(owner=owner)


def versions_of(owner: User) -> QuerySet[ModelVersion]:
    rows = ModelVersion.objects.filter(model__owner=owner)
    files = "weights", "network", "card", "card_text", "card_picture", "grid"
    return rows.select_related("model", *files)


def resolve_version(owner: User, reference: str) -> ModelVersion:
    """Return the version that `name`, `name:3`, `name:alias` or a version's id means.

    Raises:
        ModelNotFoundError: there is none, or it is another user's.
    """
    name, _, selector = reference.partition(":")
    versions = versions_of(owner)
    if selector.isascii() and selector.isdigit():
        found = versions.filter(model__name=name, number=int(selector)).first()
    elif _is_uuid(reference):
        found = versions.filter(pk=UUID(reference)).first()
    else:
        found = versions.filter(model__name=name, aliases__name=selector or LATEST).first()
    if found is None:
        raise ModelNotFoundError(f"There is no model version {reference!r} of yours.")
    return found


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def model_versions(owner: User, name: str) -> QuerySet[ModelVersion]:
    """Return the versions of one model with their files and aliases.

    Raises:
        ModelNotFoundError: the owner has no model of this name.
    """
    if not models_of(owner).filter(name=name).exists():
        raise ModelNotFoundError(f"There is no model {name!r} of yours.")
    return versions_of(owner).filter(model__name=name).prefetch_related("aliases")


def with_aliases(models: QuerySet[Model]) -> QuerySet[Model]:
    """Fetch the aliases, their versions and files too, in one more query for all rows."""
    versions = "version", "version__weights", "version__grid", "version__card"
    return models.annotate(version_count=Count("versions")).prefetch_related(
        Prefetch("aliases", Alias.objects.select_related(*versions).order_by("name"))
    )

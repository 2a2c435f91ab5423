"""Reads: models, and the version that a reference means."""

from uuid import UUID

from django.db.models import QuerySet

from aigc_platform.accounts.models import User
from aigc_platform.registry.exceptions import ModelNotFoundError
from aigc_platform.registry.models import Model, ModelVersion

LATEST = "latest"


def models_of(owner: User) -> QuerySet[Model]:
    return Model.objects.filter(owner=owner)


def versions_of(owner: User) -> QuerySet[ModelVersion]:
    rows = ModelVersion.objects.filter(model__owner=owner)
    return rows.select_related("model", "weights", "network", "card", "grid")


def resolve_version(owner: User, reference: str) -> ModelVersion:
    """Return the version that `name`, `name:3`, `name:alias` or a version's id means.

    Raises:
        ModelNotFoundError: there is none, or it is another user's.
    """
    name, _, selector = reference.partition(":")
    versions = versions_of(owner)
    if selector.isascii() and selector.isdigit():
        found = versions.filter(model__name=name, number=int(selector[:9])).first()
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

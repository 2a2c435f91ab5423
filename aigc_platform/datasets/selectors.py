"""Reads."""

from uuid import UUID

from django.db.models import Prefetch, QuerySet

from aigc_platform.accounts.models import User
from aigc_platform.datasets.exceptions import DatasetNotFoundError, DatasetNotReadyError, DatasetRejectedError
from aigc_platform.datasets.models import Dataset, DatasetStatus, DatasetVersion


def datasets_of(owner: User) -> QuerySet[Dataset]:
    return Dataset.objects.filter(owner=owner)


def newest_version(dataset: Dataset) -> DatasetVersion | None:
    return dataset.versions.select_related("data", "manifest", "preview").order_by("-number").first()


def trainable_version(owner: User, dataset_id: UUID) -> DatasetVersion:
    """Return the newest version of the owner's data set.

    Raises:
        DatasetNotFoundError: no such data set, or another user's.
        DatasetRejectedError: its import failed.
        DatasetNotReadyError: it is still uploading or validating.
    """
    dataset = datasets_of(owner).filter(pk=dataset_id).first()
    if dataset is None:
        raise DatasetNotFoundError
    if dataset.status == DatasetStatus.REJECTED:
        raise DatasetRejectedError
    version = newest_version(dataset)
    if version is None:
        raise DatasetNotReadyError(f"The data set is {dataset.status}; wait until its status is ready.")
    return version


def with_versions(datasets: QuerySet[Dataset]) -> QuerySet[Dataset]:
    """Fetch the versions and their previews too, in one more query for all rows."""
    return datasets.prefetch_related(
        Prefetch("versions", DatasetVersion.objects.select_related("preview").order_by("-number"))
    )

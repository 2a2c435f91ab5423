"""Writes: create a data set from a built-in set or by upload, and complete an upload."""

import math
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from aigc_platform.accounts.models import User
from aigc_platform.common.exceptions import FieldProblem, InvalidInputError
from aigc_platform.common.uuid7 import uuid7
from aigc_platform.datasets.exceptions import (
    AlreadyCompletedError,
    NotAnUploadError,
    SizeMismatchError,
    UploadExpiredError,
    UploadMissingError,
)
from aigc_platform.datasets.models import Dataset, DatasetStatus
from aigc_platform.datasets.specs import BuiltinSource, DatasetImportSpec, Upload, UploadSource
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.services import Submission, submit_job
from aigc_platform.storage.exceptions import ObjectNotFoundError
from aigc_platform.storage.interface import PresignedPost
from aigc_platform.storage.keys import upload_key
from aigc_platform.storage.object_store import get_object_store
from ml.catalog import BUILTIN_DATASETS

UPLOAD_SECONDS = 3600
UPLOAD_MEDIA_TYPE = "application/octet-stream"
"""Whatever was uploaded, a browser that is ever shown it must not open it."""


@dataclass(frozen=True)
class NewDataset:
    """What a user says about a data set.

    Attributes:
        image_px: side of the packed images in pixels; None chooses by the data.
        require_labels: refuse an archive without class folders.
    """

    name: str
    modality: str = "image"
    image_px: int | None = None
    require_labels: bool = False


def create_builtin_dataset(
    *, owner: User, new: NewDataset, builtin: str, submission: Submission | None = None
) -> Dataset:
    """Insert the row and the job that imports a built-in set; status `validating`.

    The same idempotency key and request give the first data set again.

    Raises:
        InvalidInputError: there is no such built-in set, or an option does not apply to one.
        IdempotencyMismatchError: the key was used with another request.
    """
    _check_builtin(new, builtin)
    with transaction.atomic():
        dataset = _insert(owner, new, status=DatasetStatus.VALIDATING, builtin=builtin)
        job = _submit_import(dataset, BuiltinSource(builtin=builtin), submission)
        if job.spec["dataset"] != str(dataset.pk):
            # A replay: the job belongs to the data set of the first request, and this row never was.
            dataset.delete()
            return Dataset.objects.get(pk=job.spec["dataset"])
        dataset.import_job = job
        dataset.save(update_fields=["import_job"])
    return dataset


def create_upload_dataset(*, owner: User, new: NewDataset) -> Dataset:
    """Insert a row that waits for an archive; status `uploading`. `presigned_upload` gives the form."""
    dataset_id = uuid7()
    return _insert(
        owner,
        new,
        id=dataset_id,
        status=DatasetStatus.UPLOADING,
        upload_key=upload_key(dataset_id, uuid7()),
        upload_expires_at=timezone.now() + timedelta(seconds=UPLOAD_SECONDS),
    )


def presigned_upload(dataset: Dataset) -> PresignedPost | None:
    """Return the form that stores one archive, of at most `UPLOAD_MAX_BYTES`, under this data set's key.

    None once the upload is completed or its time, `upload_expires_at`, is over.
    """
    if dataset.status != DatasetStatus.UPLOADING or dataset.upload_expires_at is None:
        return None
    seconds_left = math.floor((dataset.upload_expires_at - timezone.now()).total_seconds())
    if seconds_left < 1:
        return None
    return get_object_store().presign_post(
        dataset.upload_key,
        media_type=UPLOAD_MEDIA_TYPE,
        max_bytes=settings.UPLOAD_MAX_BYTES,
        expires_seconds=seconds_left,
    )


def complete_upload(*, dataset_id: UUID, sha256: str, size: int) -> tuple[Dataset, bool]:
    """Check the upload's size and submit its import: `uploading` → `validating`.

    The SHA-256 is checked by the worker, which reads the bytes anyway; other bytes reject the data set.

    Returns:
        The data set, and whether this call submitted the import (False: an equal call did before).

    Raises:
        UploadMissingError, UploadExpiredError, SizeMismatchError, AlreadyCompletedError, NotAnUploadError
    """
    dataset = Dataset.objects.get(pk=dataset_id)
    if dataset.status == DatasetStatus.UPLOADING:
        # Outside of the transaction: no row stays locked while the store takes its time.
        _check_stored_size(dataset, size)
    with transaction.atomic():
        dataset = Dataset.objects.select_for_update().get(pk=dataset_id)
        if dataset.status != DatasetStatus.UPLOADING:
            _check_same_completion(dataset, sha256, size)
            return dataset, False
        source = UploadSource(upload=Upload(filename="archive", sha256=sha256, size=size))
        dataset.upload_sha256, dataset.upload_size = sha256, size
        dataset.status = DatasetStatus.VALIDATING
        dataset.import_job = _submit_import(dataset, source)
        dataset.save(update_fields=["upload_sha256", "upload_size", "status", "import_job"])
    return dataset, True


def _check_builtin(new: NewDataset, builtin: str) -> None:
    errors = []
    if builtin not in BUILTIN_DATASETS:
        message = f"There is no built-in data set {builtin!r}; there are: {', '.join(BUILTIN_DATASETS)}."
        errors.append(FieldProblem("/builtin", "dataset.unknown_builtin", message))
    for name in ("image_px", "require_labels"):
        if getattr(new, name):
            message = "Built-in data sets have a form of their own; leave this out."
            errors.append(FieldProblem(f"/{name}", "dataset.option_not_applicable", message))
    if errors:
        raise InvalidInputError(errors[0].message, errors=errors)


def _check_same_completion(dataset: Dataset, sha256: str, size: int) -> None:
    if not dataset.upload_key:
        raise NotAnUploadError
    if (dataset.upload_sha256, dataset.upload_size) != (sha256, size):
        raise AlreadyCompletedError


def _check_stored_size(dataset: Dataset, size: int) -> None:
    try:
        stored = get_object_store().head(dataset.upload_key)
    except ObjectNotFoundError:
        expires_at = dataset.upload_expires_at
        if expires_at is not None and expires_at < timezone.now():
            raise UploadExpiredError from None
        raise UploadMissingError from None
    if stored.size != size:
        message = f"The uploaded file has {stored.size} bytes, not {size}."
        raise SizeMismatchError(message, errors=[FieldProblem("/size", SizeMismatchError.code, message)])


def _insert(owner: User, new: NewDataset, **columns: object) -> Dataset:
    return Dataset.objects.create(
        owner=owner,
        name=new.name,
        modality=new.modality,
        image_px=new.image_px,
        require_labels=new.require_labels,
        **columns,
    )


def _submit_import(
    dataset: Dataset, source: BuiltinSource | UploadSource, submission: Submission | None = None
) -> Job:
    spec = DatasetImportSpec(
        dataset=dataset.pk,
        name=dataset.name,
        source=source,
        image_px=dataset.image_px,
        require_labels=dataset.require_labels,
    )
    return submit_job(owner=dataset.owner, kind="dataset_import", spec=spec, submission=submission)

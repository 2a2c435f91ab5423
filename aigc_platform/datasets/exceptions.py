"""What can go wrong with a data set, each with a stable code."""

from aigc_platform.common.exceptions import ConflictError, InvalidInputError, NotFoundError


class DatasetNotFoundError(NotFoundError):
    """There is no such data set, or it is not yours."""

    code = "dataset.not_found"


class DatasetNotReadyError(ConflictError):
    """The data set is not ready; wait until its status is ready."""

    code = "dataset.not_ready"


class DatasetRejectedError(ConflictError):
    """The data set was rejected at import, so nothing can be trained on it."""

    code = "dataset.rejected"


class UploadMissingError(ConflictError):
    """Nothing has been uploaded to the address this data set was given."""

    code = "dataset.upload_missing"


class UploadExpiredError(ConflictError):
    """The time to upload is over; create the data set again."""

    code = "dataset.upload_expired"


class SizeMismatchError(InvalidInputError):
    """The uploaded file does not have the size you state; upload it again or correct the size."""

    code = "dataset.size_mismatch"


class AlreadyCompletedError(ConflictError):
    """This upload was completed before with another size or SHA-256."""

    code = "dataset.already_completed"


class NotAnUploadError(ConflictError):
    """This data set is a built-in one: there is no upload to complete."""

    code = "dataset.not_an_upload"

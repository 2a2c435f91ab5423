"""What can go wrong with the object store. No botocore error leaves this package."""

from aigc_platform.common.exceptions import PlatformError, UnavailableError


class StorageError(PlatformError):
    """The object store refused the request."""

    code = "storage.error"


class StorageUnavailableError(StorageError, UnavailableError):
    """The object store is not reachable right now; try again shortly."""

    code = "storage.unavailable"


class ObjectNotFoundError(StorageError):
    """The object store holds no object under this key."""

    code = "storage.object_not_found"


class ObjectConflictError(StorageError):
    """Another object with other content already lies under this key; stored objects are never overwritten."""

    code = "storage.object_conflict"


class ObjectCorruptError(StorageError):
    """The bytes do not have the expected SHA-256."""

    code = "storage.object_corrupt"

"""What can go wrong with models, each with a stable code."""

from aigc_platform.common.exceptions import NotFoundError


class ModelNotFoundError(NotFoundError):
    """There is no such model or version, or it is not yours."""

    code = "model.not_found"

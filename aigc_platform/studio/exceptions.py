"""What can go wrong in the studio, each with a stable code."""

from aigc_platform.common.exceptions import ConflictError, NotFoundError


class RecipeNotFoundError(NotFoundError):
    """There is no such recipe."""

    code = "recipe.not_found"


class WrongDeliveryError(ConflictError):
    """The runner's files are not those that were asked for."""

    code = "generation.wrong_delivery"

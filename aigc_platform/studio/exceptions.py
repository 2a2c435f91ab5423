"""What can go wrong in the studio, each with a stable code."""

from aigc_platform.common.exceptions import NotFoundError


class RecipeNotFoundError(NotFoundError):
    """There is no such recipe."""

    code = "recipe.not_found"

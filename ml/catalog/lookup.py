"""Recipes by name, and a user's settings checked against them."""

from collections.abc import Mapping
from typing import Any

from ml.catalog.recipe import Recipe
from ml.catalog.recipes import RECIPES
from ml.catalog.settings import RecipeConfig


class UnknownRecipeError(LookupError):
    """No recipe has this name; `names` are those there are."""

    code = "recipe.unknown"

    def __init__(self, name: str) -> None:
        self.name = name
        self.names = tuple(RECIPES)
        super().__init__(f"There is no recipe {name!r}; there are: {', '.join(self.names)}.")


def get_recipe(name: str) -> Recipe:
    """Return the recipe of this name.

    Raises:
        UnknownRecipeError: there is none.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise UnknownRecipeError(name) from None


def parse_config(recipe: str, config: Mapping[str, object]) -> RecipeConfig:
    """Validate a user's settings and fill in the recipe's defaults.

    Raises:
        UnknownRecipeError: no recipe has this name.
        pydantic.ValidationError: unknown or out-of-range fields, or settings that exclude each other.
    """
    return get_recipe(recipe).config_type.model_validate(dict(config))


def config_schema(recipe: str) -> dict[str, Any]:
    """JSON Schema of the recipe's settings, with defaults, ranges, units and descriptions.

    Raises:
        UnknownRecipeError: no recipe has this name.
    """
    return get_recipe(recipe).config_type.model_json_schema()

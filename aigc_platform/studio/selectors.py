"""Reads: the recipes there are."""

from dataclasses import asdict
from typing import Any

from aigc_platform.studio.exceptions import RecipeNotFoundError
from ml.catalog import DEFAULT_RECIPE, RECIPES, config_schema, measurements_of


def recipe_descriptions() -> list[dict[str, Any]]:
    """Return every recipe with what its data must be like and the JSON Schema of its settings."""
    return [describe_recipe(name) for name in sorted(RECIPES)]


def describe_recipe(name: str) -> dict[str, Any]:
    """Return one recipe.

    Raises:
        RecipeNotFoundError: there is none of this name.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise RecipeNotFoundError(f"There is no recipe {name!r}; there are: {', '.join(sorted(RECIPES))}.")
    facts = {field: getattr(recipe, field) for field in recipe.__dataclass_fields__ if field != "config_type"}
    return {
        **facts,
        "is_default": name == DEFAULT_RECIPE,
        "measurements": [asdict(found) for found in measurements_of(name)],
        "config_schema": config_schema(name),
    }

"""Recipes, their settings, and what they say about data."""

import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from ml.catalog import (
    BUILTIN_DATASETS,
    DEFAULT_RECIPE,
    RECIPES,
    UnknownRecipeError,
    check_dataset,
    config_schema,
    get_recipe,
    is_conditional,
    parse_config,
)


def problems(recipe: str = "dcgan", config: dict[str, object] | None = None, **shape: Any) -> list[str]:
    data = {"width": 32, "height": 32, "channels": 1, "count": 100, "classes": 0} | shape
    return check_dataset(recipe, parse_config(recipe, config or {}), **data)


def test_catalog_loads_neither_an_ml_stack_nor_the_rest_of_ml() -> None:
    code = "import sys, ml.catalog; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert loaded.isdisjoint({"torch", "numpy", "PIL"})
    assert all(name.startswith("ml.catalog") for name in loaded if name.startswith("ml."))


def test_default_recipe_and_names() -> None:
    assert DEFAULT_RECIPE in RECIPES
    assert all(name == recipe.name for name, recipe in RECIPES.items())
    assert all(name == dataset.name for name, dataset in BUILTIN_DATASETS.items())


def test_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(UnknownRecipeError, match="mlp-gan") as caught:
        get_recipe("gan-2000")
    assert caught.value.names == tuple(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_defaults_are_valid_and_survive_json(recipe: str) -> None:
    config = parse_config(recipe, {})
    assert type(config) is get_recipe(recipe).config_type
    assert parse_config(recipe, json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize("recipe", RECIPES)
def test_schema_documents_every_setting(recipe: str) -> None:
    schema = config_schema(recipe)
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        assert field.get("description"), name
        assert "default" in field, name
    assert schema["properties"]["kimg"]["unit"] == "kimg"
    assert schema["properties"]["kimg"]["exclusiveMinimum"] == 0


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"kimgs": 3}, "kimgs"),
        ({"kimg": 0}, "kimg"),
        ({"kimg": "3"}, "kimg"),
        ({"kimg": float("nan")}, "kimg"),
        ({"kimg": float("inf")}, "kimg"),
        ({"kimg": True}, "kimg"),
        ({"batch_size": 1}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**53}, "seed"),
        ({"precision": "fp64"}, "precision"),
        ({"conditional": "maybe"}, "conditional"),
        ({"adam_beta1": 1.0}, "adam_beta1"),
        ({"generator_channels": 3}, "generator_channels"),
        ({"discriminator_norm": "layer"}, "discriminator_norm"),
        ({"r1_interval": 0}, "r1_interval"),
        ({"pixel_deviation": 0.2}, "pixel_deviation"),
    ],
)
def test_bad_settings_are_refused_at_their_place(settings: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_config("dcgan", settings)
    assert [error["loc"][0] for error in caught.value.errors()] == [place]


@pytest.mark.parametrize("widths", [[], [2], [8, "9"], [8] * 9])
def test_bad_widths_are_refused(widths: list[object]) -> None:
    with pytest.raises(ValidationError):
        parse_config("mlp-gan", {"generator_widths": widths})


def test_budget_below_one_batch_is_refused_with_the_reason() -> None:
    with pytest.raises(ValidationError, match="less than one batch of 32"):
        parse_config("dcgan", {"kimg": 0.02})


def test_deterministic_by_the_clock_is_refused_with_the_reason() -> None:
    with pytest.raises(ValidationError, match="machine's speed"):
        parse_config("dcgan", {"deterministic": True, "max_seconds": 60})


@pytest.mark.parametrize(("kimg", "expected"), [(1, 1024), (0.064, 64), (0.065, 128), (6.4, 6400)])
def test_budget_is_rounded_up_to_whole_batches(kimg: float, expected: int) -> None:
    assert parse_config("dcgan", {"kimg": kimg, "batch_size": 64}).total_images == expected


def test_suitable_data_has_no_problems() -> None:
    assert problems() == []
    assert problems(channels=3, classes=10, config={"conditional": "yes"}) == []
    assert problems("mlp-gan", width=15, height=15) == []


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ({"width": 32, "height": 28}, "square"),
        ({"width": 4, "height": 4}, "8 to 128 px"),
        ({"width": 132, "height": 132}, "8 to 128 px"),
        ({"width": 30, "height": 30}, "multiple of 4"),
        ({"channels": 5}, "5 channels"),
        ({"count": 3}, "at least 16 images"),
    ],
)
def test_unsuitable_data_is_named(shape: dict[str, Any], part: str) -> None:
    (problem,) = problems(**shape)
    assert part in problem


def test_classes_asked_for_but_missing() -> None:
    (none,) = problems(config={"conditional": "yes"}, classes=0)
    (one,) = problems(config={"conditional": "yes"}, classes=1)
    assert "no labels" in none
    assert "one class" in one


@pytest.mark.parametrize(
    ("choice", "classes", "expected"),
    [("auto", 0, False), ("auto", 1, False), ("auto", 2, True), ("yes", 2, True), ("no", 10, False)],
)
def test_conditional_choice(choice: str, classes: int, expected: bool) -> None:
    config = parse_config("dcgan", {"conditional": choice})
    assert is_conditional(config, classes=classes) is expected

"""What `auto` chooses, and that it says why."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ml.catalog import DEFAULT_RECIPE, GanConfig, get_recipe, parse_config
from ml.data.packed import PackedDataset
from ml.data.profile import DataProfile
from ml.errors import InvalidDatasetError
from ml.hooks import Hooks
from ml.train import train
from ml.training.auto import choose_recipe


def profile(*, distinct: int = 60_000, px: int = 28) -> DataProfile:
    return DataProfile(
        count=distinct,
        width=px,
        height=px,
        channels=1,
        distinct=distinct,
        near_duplicate_share=0.0,
        near_duplicates_checked=0,
        single_colour=0,
        held_out=0,
        leaked=0,
        nearly_leaked=0,
        leaks_checked=0,
        class_counts={},
        classes_held_out=(),
        warnings=(),
    )


@pytest.mark.parametrize(
    ("settings", "data", "recipe", "why"),
    [
        ({}, {}, DEFAULT_RECIPE, "measured best"),
        ({"max_seconds": 10.0}, {}, "mlp-gan", "too short"),
        ({"max_seconds": 60.0}, {}, DEFAULT_RECIPE, "measured best"),
        ({}, {"distinct": 999}, "few-shot", "999 different images"),
        ({"kimg": 90.0}, {}, DEFAULT_RECIPE, "half of its defaults"),
        ({"kimg": 3000.0}, {}, DEFAULT_RECIPE, "fall along a cosine"),
        ({}, {"px": 30}, "mlp-gan", "not a multiple of 4"),
    ],
)
def test_choice_follows_data_and_budget(
    settings: dict[str, Any], data: dict[str, int], recipe: str, why: str
) -> None:
    choice = choose_recipe(parse_config("auto", settings), profile(**data))
    assert choice.recipe == recipe
    assert why in choice.reason
    assert type(choice.config) is get_recipe(recipe).config_type


def chosen_default(**settings: Any) -> GanConfig:
    chosen = choose_recipe(parse_config("auto", settings), profile()).config
    assert isinstance(chosen, GanConfig)
    return chosen


def test_budgets_are_the_users_and_tuning_is_the_recipes() -> None:
    config = parse_config("auto", {"kimg": 70.0, "seed": 9, "batch_size": 16})
    chosen = choose_recipe(config, profile(distinct=900)).config
    own = parse_config("few-shot", {})
    assert (chosen.kimg, chosen.seed, chosen.batch_size) == (70.0, 9, 16)
    assert chosen.total_images == config.total_images
    assert (chosen.adam_beta1, chosen.ema_halflife_kimg) == (own.adam_beta1, own.ema_halflife_kimg)
    few = choose_recipe(parse_config("auto", {"adam_beta1": 0.3}), profile(distinct=500)).config
    assert (few.kimg, few.adam_beta1) == (30.0, 0.3)


def test_long_runs_take_half_the_rates() -> None:
    own = parse_config(DEFAULT_RECIPE, {}).model_dump()
    short, long = (chosen_default(kimg=kimg).model_dump() for kimg in (79.0, 80.0))
    for player in ("generator", "discriminator"):
        name = f"learning_rate_{player}"
        assert short[name] == own[name] == 2 * long[name]


def test_the_rates_of_longer_runs_fall() -> None:
    long, longer = (chosen_default(kimg=kimg) for kimg in (299.0, 300.0))
    assert (long.learning_rate_final, longer.learning_rate_final) == (1.0, 0.1)
    assert long.learning_rate_generator == longer.learning_rate_generator


def test_what_the_user_sets_stands_whatever_the_budget() -> None:
    chosen = chosen_default(kimg=300.0, learning_rate_generator=1e-4, learning_rate_final=0.5)
    assert (chosen.learning_rate_generator, chosen.learning_rate_final) == (1e-4, 0.5)


def test_the_choice_is_an_event(striped_dataset: PackedDataset, tmp_path: Path) -> None:
    events: dict[str, Mapping[str, Any]] = {}
    config = parse_config("auto", {"kimg": 0.016, "batch_size": 8, "grid_seconds": 0.0})
    hooks = Hooks(on_event=lambda kind, data: events.update({kind: data}))
    result = train(striped_dataset, config, recipe="auto", out=tmp_path, hooks=hooks)
    assert events["recipe_chosen"]["recipe"] == result.recipe == "few-shot"
    assert "48 different images" in events["recipe_chosen"]["reason"]
    assert result.config == events["recipe_chosen"]["config"]
    assert result.profile["distinct"] == 48


def test_equal_images_are_refused(striped_dataset: PackedDataset, tmp_path: Path) -> None:
    one = striped_dataset.images[:1].repeat(20, 1, 1, 1)
    data = PackedDataset.create(name="one", images=one)
    with pytest.raises(InvalidDatasetError, match="nothing to learn") as caught:
        train(data, parse_config("auto", {}), recipe="auto", out=tmp_path)
    assert caught.value.code == "dataset.all_equal"

"""The recipe `auto`: look at the data and the budget, take what suits them, and say why and who says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from ml.catalog import (
    CONVOLUTIONAL_PX_MULTIPLE,
    DEFAULT_RECIPE,
    RecipeConfig,
    get_recipe,
    parse_config,
)
from ml.data.profile import FEW_IMAGES, DataProfile

SHORT_SECONDS = 20.0
"""Convolutions need longer than this on a processor to beat dense layers."""
LONG_KIMG = 80.0
"""From so many images on the fast rates of the default recipe drift away from what they had found: on Fashion-MNIST FD
was 2.6 after 45 kimg and 2.3 at best until 229. Half of them are slower (3.4) and end better (1.5)."""
LONG_RATES = {"learning_rate_generator": 4e-4, "learning_rate_discriminator": 8e-4}
LONGER_KIMG = 300.0
"""From so many on these drift, too: of a run of 483 kimg the snapshot of 241 was published, FD 1.5. Falling to a tenth
it was 1.26 after 480; in runs of 229 kimg falling brought nothing (1.54 and 1.64)."""
LONGER_FINAL = 0.1
TUNED_BY_RECIPES = frozenset(
    {
        "learning_rate_generator",
        "learning_rate_final",
        "adam_beta1",
        "adam_beta2",
        "ema_halflife_kimg",
        "kid_kimg",
        "latent_size",
    }
)
"""Settings for which the chosen recipe knows better than the defaults of `auto`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A recipe with its settings.

    Attributes:
        recipe: its name.
        config: its settings: the user's where given, its own defaults else.
        reason: why, in a sentence.
    """

    recipe: str
    config: RecipeConfig
    reason: str


def choose_recipe(config: RecipeConfig, profile: DataProfile) -> Choice:
    """Choose for this data and budget; depends on the arguments alone.

    Args:
        config: settings of `auto`; budgets, seed and what was changed are kept.
        profile: of the data.
    """
    recipe, reason = _choose(config, profile)
    settings: dict[str, object] = {}
    if recipe == DEFAULT_RECIPE and config.kimg >= LONG_KIMG:
        settings |= LONG_RATES
        reason += " For so long a run its learning rates are half of its defaults."
    if recipe == DEFAULT_RECIPE and config.kimg >= LONGER_KIMG:
        settings["learning_rate_final"] = LONGER_FINAL
        reason += " They fall along a cosine."
    return Choice(recipe, parse_config(recipe, settings | _given(config)), reason)


def rechoose(recipe: str, stored: Mapping[str, object], config: RecipeConfig) -> RecipeConfig:
    """Settings of a run that began with `auto`, with what the user asks for now.

    Args:
        recipe: what was chosen at the start.
        stored: all settings of then.
        config: settings of `auto` now; resuming checks that they do not contradict.
    """
    return parse_config(recipe, {**stored, **_given(config)})


def _choose(config: RecipeConfig, profile: DataProfile) -> tuple[str, str]:
    if profile.width % CONVOLUTIONAL_PX_MULTIPLE:
        return "mlp-gan", (
            f"{profile.width} px is not a multiple of {CONVOLUTIONAL_PX_MULTIPLE}, which convolutional "
            "networks need, so dense ones it is."
        )
    if config.max_seconds is not None and config.max_seconds < SHORT_SECONDS:
        return "mlp-gan", (
            f"{config.max_seconds:g} s are too short for convolutions on a processor; dense networks show "
            "something by then."
        )
    if profile.distinct < FEW_IMAGES:
        return "few-shot", (
            f"{profile.distinct:,} different images are fewer than {FEW_IMAGES:,}: the discriminator would "
            "remember them without augmentation."
        )
    return DEFAULT_RECIPE, (
        f"{config.kimg:g} kimg over {profile.distinct:,} different images of {profile.width} px: for such data "
        f"{DEFAULT_RECIPE} measured best (benchmarks/results/quality.md)."
    )


def _given(config: RecipeConfig) -> dict[str, object]:
    """What the user decides: budgets, seed and the like always, optimisation where it was changed."""
    defaults = get_recipe("auto").config_type().model_dump()
    return {
        name: value
        for name, value in config.model_dump().items()
        if name not in TUNED_BY_RECIPES or value != defaults[name]
    }

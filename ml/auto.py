"""The recipe `auto`: look at the data and the budget, take what suits them, and say why and who says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from ml.catalog import (
    CONVOLUTIONAL_PX_MULTIPLE,
    RecipeConfig,
    get_recipe,
    parse_config,
)
from ml.profile import FEW_IMAGES, DataProfile

SHORT_SECONDS = 20.0
"""Convolutions need longer than this on a processor to beat dense layers."""
LONG_EPOCHS = 10
LONG_KIMG = 600.0
"""From so many epochs and images on the relativistic loss with R1 and R2 is taken, by its paper's word."""
MANY_IMAGES = 20_000
"""From so many, seen fewer than `LONG_EPOCHS` times, a discriminator has nothing to remember, and augmentation
only blurs what it sees: on Fashion-MNIST at 15 kimg FD was 8.90 with 40 % augmented and 6.80 with none."""
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
    settings = _given(config)
    epochs = config.kimg * 1000 / max(1, profile.distinct)
    if recipe == "dcgan" and profile.distinct >= MANY_IMAGES and epochs < LONG_EPOCHS:
        settings["augment_probability"] = 0.0
        reason += " With so many images it goes without augmentation."
    return Choice(recipe, parse_config(recipe, settings), reason)


def rechoose(recipe: str, stored: Mapping[str, object], config: RecipeConfig) -> RecipeConfig:
    """Settings of a run that began with `auto`, with what the user asks for now.

    Args:
        recipe: what was chosen at the start.
        stored: all settings of then.
        config: settings of `auto` now; resuming checks that they do not contradict.
    """
    return parse_config(recipe, {**stored, **_given(config)})


def _choose(config: RecipeConfig, profile: DataProfile) -> tuple[str, str]:
    epochs = config.kimg * 1000 / max(1, profile.distinct)
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
            "remember them without augmentation and dropout."
        )
    if config.kimg >= LONG_KIMG and epochs >= LONG_EPOCHS:
        return "rpgan", (
            f"{config.kimg:g} kimg show every image {epochs:.0f} times: for long runs the relativistic loss "
            "with R1 and R2 is published to keep improving (arXiv:2501.05441); not measured here."
        )
    return "dcgan", (
        f"{config.kimg:g} kimg over {profile.distinct:,} different images of {profile.width} px: at such "
        "budgets dcgan is what was measured and tuned (benchmarks/results/quality.md)."
    )


def _given(config: RecipeConfig) -> dict[str, object]:
    """What the user decides: budgets, seed and the like always, optimisation where it was changed."""
    defaults = get_recipe("auto").config_type().model_dump()
    return {
        name: value
        for name, value in config.model_dump().items()
        if name not in TUNED_BY_RECIPES or value != defaults[name]
    }

"""What can be trained, on what, and with which settings: recipes, their configs, built-in data sets.

Free of torch and numpy on purpose. It is the one module of `ml` that a web process may import: it validates
a user's settings, publishes their JSON Schema, and says in sentences why a data set does not suit a recipe.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

LARGEST_SEED = 2**53 - 1
"""Seeds travel as JSON numbers, which are exact up to 2^53 - 1 in every language."""

MIN_IMAGE_PX = 8
MAX_IMAGE_PX = 64

Width = Annotated[int, Field(ge=4, le=2048)]


def _unit(unit: str) -> dict[str, Any]:
    """JSON Schema extension that carries a field's unit."""
    return {"unit": unit}


class RecipeConfig(BaseModel, extra="forbid", frozen=True, strict=True, allow_inf_nan=False):
    """Settings every recipe has. Schedules and budgets are counted in images, never in steps."""

    kimg: float = Field(
        default=30.0,
        gt=0,
        le=1_000_000,
        description="Training budget: thousand real images shown to the discriminator.",
        json_schema_extra=_unit("kimg"),
    )
    max_seconds: float | None = Field(
        default=None,
        gt=0,
        le=30 * 24 * 3600,
        description="Stop earlier when training has taken this long, resumed parts included.",
        json_schema_extra=_unit("seconds"),
    )
    batch_size: int = Field(
        default=32,
        ge=2,
        le=1024,
        description="Real images in one step; the generator makes as many.",
        json_schema_extra=_unit("images"),
    )
    objective: Literal["non-saturating", "saturating"] = Field(
        default="non-saturating",
        description="Adversarial loss. Both are binary cross-entropy (Goodfellow et al. 2014, section 3); "
        "the non-saturating generator loss keeps its gradient when the discriminator wins.",
    )
    learning_rate_generator: float = Field(
        default=2e-4, gt=0, le=0.1, description="Adam step size of the generator."
    )
    learning_rate_discriminator: float = Field(
        default=6e-4,
        gt=0,
        le=0.1,
        description="Adam step size of the discriminator. Larger than the generator's (two time scales, "
        "Heusel et al. 2017): one that falls behind lets each class shrink to a single image.",
    )
    adam_beta1: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Adam's first-moment decay; 0.5 after Radford et al. 2015, section 4.",
    )
    adam_beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's second-moment decay.")
    ema_halflife_kimg: float = Field(
        default=1.0,
        ge=0,
        le=10_000,
        description="Half-life of the moving average of the generator's weights, which is what samples come "
        "from. 0 turns averaging off.",
        json_schema_extra=_unit("kimg"),
    )
    latent_size: int = Field(
        default=64,
        ge=2,
        le=1024,
        description="Length of the noise vector z.",
        json_schema_extra=_unit("numbers"),
    )
    conditional: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="Learn the classes of the data, so that samples can be asked for by class. "
        "auto: yes when the data set has labels.",
    )
    augment_probability: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Chance that an image shown to the discriminator is augmented (translation and cutout, "
        "differentiable; Zhao et al. 2020). Helps most with few images and long runs.",
    )
    augment_flip: bool = Field(
        default=False,
        description="Mirror real images left to right half of the time. Not for text or digits.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Number format of the network passes. auto measures both at the start and takes the "
        "faster; in deterministic mode it is fp32.",
    )
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED, description="Seed of every random choice.")
    deterministic: bool = Field(
        default=False,
        description="Same settings, data and kind of device give the same weights, bit for bit, however "
        "often the run is stopped and resumed. Costs speed.",
    )
    tick_seconds: float = Field(
        default=1.0,
        ge=0,
        le=600,
        description="Time between two progress reports.",
        json_schema_extra=_unit("seconds"),
    )
    grid_seconds: float = Field(
        default=10.0,
        ge=0,
        le=24 * 3600,
        description="Time between two sample grids; 0 draws only the last one.",
        json_schema_extra=_unit("seconds"),
    )

    @property
    def total_images(self) -> int:
        """The budget in real images, rounded up to whole batches."""
        return math.ceil(self.kimg * 1000 / self.batch_size) * self.batch_size

    @model_validator(mode="after")
    def _refuse_impossible_combinations(self) -> Self:
        if self.kimg * 1000 < self.batch_size:
            msg = (
                f"kimg={self.kimg:g} is {self.kimg * 1000:g} images, less than one batch of "
                f"{self.batch_size}: raise kimg or lower batch_size"
            )
            raise ValueError(msg)
        if self.deterministic and self.max_seconds is not None:
            msg = (
                "deterministic runs end after kimg images and max_seconds ends a run by the clock, "
                "so the weights would depend on the machine's speed: drop one of the two"
            )
            raise ValueError(msg)
        return self


class MlpGanConfig(RecipeConfig, extra="forbid", frozen=True):
    """Settings of `mlp-gan`."""

    generator_widths: tuple[Width, ...] = Field(
        default=(256, 512, 1024),
        min_length=1,
        max_length=8,
        strict=False,
        description="Hidden layers of the generator, first to last.",
        json_schema_extra=_unit("neurons"),
    )
    discriminator_widths: tuple[Width, ...] = Field(
        default=(512, 256),
        min_length=1,
        max_length=8,
        strict=False,
        description="Hidden layers of the discriminator, first to last.",
        json_schema_extra=_unit("neurons"),
    )


class DcganConfig(RecipeConfig, extra="forbid", frozen=True):
    """Settings of `dcgan`."""

    generator_channels: int = Field(
        default=16,
        ge=4,
        le=512,
        description="Channels of the generator's last hidden layer; doubled at each halving of the size.",
        json_schema_extra=_unit("channels"),
    )
    discriminator_channels: int = Field(
        default=32,
        ge=4,
        le=512,
        description="Channels of the discriminator's first layer; doubled at each halving of the size.",
        json_schema_extra=_unit("channels"),
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named way to train: networks, objective, defaults, and the paper they come from."""

    name: str
    title: str
    summary: str
    paper: str
    modality: Literal["image"]
    config_type: type[RecipeConfig]
    min_px: int
    max_px: int
    px_multiple: int
    channels: tuple[int, ...]
    min_count: int


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(
                name="mlp-gan",
                title="Dense GAN",
                summary="Fully connected generator and discriminator: the first GAN. Trains in seconds, "
                "blurs above 32 px.",
                paper="Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
                modality="image",
                config_type=MlpGanConfig,
                min_px=MIN_IMAGE_PX,
                max_px=MAX_IMAGE_PX,
                px_multiple=1,
                channels=(1, 3),
                min_count=16,
            ),
            Recipe(
                name="dcgan",
                title="DCGAN",
                summary="Convolutional generator and discriminator with batch norm: sharp small images "
                "within minutes on a CPU.",
                paper="Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional "
                "Generative Adversarial Networks, arXiv:1511.06434",
                modality="image",
                config_type=DcganConfig,
                min_px=MIN_IMAGE_PX,
                max_px=MAX_IMAGE_PX,
                px_multiple=4,
                channels=(1, 3),
                min_count=16,
            ),
        )
    }
)

DEFAULT_RECIPE = "dcgan"


@dataclass(frozen=True, slots=True)
class BuiltinDataset:
    """A data set that comes with the platform or one of its packages."""

    name: str
    title: str
    modality: Literal["image"]
    licence: str
    source: str
    sample_count: int | None = None


BUILTIN_DATASETS: Mapping[str, BuiltinDataset] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            BuiltinDataset(
                name="digits",
                title="Handwritten digits, 32 px, 10 classes",
                modality="image",
                licence="CC-BY-4.0",
                source="UCI optdigits test split, as shipped with scikit-learn",
                sample_count=1797,
            ),
            BuiltinDataset(
                name="fashion-mnist",
                title="Fashion-MNIST training split, 28 px, 10 classes",
                modality="image",
                licence="MIT",
                source="github.com/zalandoresearch/fashion-mnist",
                sample_count=60_000,
            ),
        )
    }
)


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


def check_dataset(
    recipe: str, config: RecipeConfig, *, width: int, height: int, channels: int, count: int, classes: int
) -> list[str]:
    """Say why this data cannot be trained with this recipe and config; empty when it can.

    Args:
        recipe: name of a recipe.
        config: its validated settings.
        width: image width in pixels.
        height: image height in pixels.
        channels: 1 for grey, 3 for colour.
        count: number of images.
        classes: number of classes, 0 for data without labels.

    Raises:
        UnknownRecipeError: no recipe has this name.
    """
    needs = get_recipe(recipe)
    problems = []
    if width != height:
        problems.append(f"{needs.title} needs square images; these are {width}x{height} px.")
    elif not needs.min_px <= width <= needs.max_px:
        problems.append(
            f"{needs.title} needs images of {needs.min_px} to {needs.max_px} px; these are {width} px wide."
        )
    elif width % needs.px_multiple:
        problems.append(
            f"{needs.title} needs a width that is a multiple of {needs.px_multiple} px; these are {width} px."
        )
    if channels not in needs.channels:
        problems.append(f"{needs.title} needs grey or RGB images; these have {channels} channels.")
    if count < needs.min_count:
        problems.append(f"{needs.title} needs at least {needs.min_count} images; there are {count}.")
    if config.conditional == "yes" and classes < 2:
        problems.append(
            "conditional=yes needs images of at least 2 classes; "
            + ("these have no labels." if classes == 0 else "these have one class.")
        )
    return problems


def is_conditional(config: RecipeConfig, *, classes: int) -> bool:
    """Whether a run with this config learns the classes of data that has so many."""
    return config.conditional == "yes" or (config.conditional == "auto" and classes >= 2)

"""What can be trained, on what, and with which settings: recipes, their configs, built-in data sets.

Free of torch and numpy on purpose. It is the one module of `ml` that a web process may import: it validates
a user's settings, publishes their JSON Schema, and says in sentences why a data set does not suit a recipe.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, create_model, model_validator
from pydantic.fields import FieldInfo

LARGEST_SEED = 2**53 - 1
"""Seeds travel as JSON numbers, which are exact up to 2^53 - 1 in every language."""

MIN_IMAGE_PX = 8
MAX_IMAGE_PX = 64
CONVOLUTIONAL_PX_MULTIPLE = 4

MAY_DIFFER_ON_RESUME = frozenset({"kimg", "max_seconds", "tick_seconds", "grid_seconds"})
"""Settings that do not change the weights at a given number of images, unless a schedule follows kimg."""

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
    learning_rate_generator: float = Field(
        default=2e-4, gt=0, le=0.1, description="Adam step size of the generator."
    )
    adam_beta1: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Adam's first-moment decay; 0.5 after Radford et al. 2015, section 4.",
    )
    adam_beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's second-moment decay.")
    learning_rate_final: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the learning rates left at the end of the kimg budget; they fall along a half "
        "cosine, counted in images. 1 keeps them. Below 1, a resumed run must keep its kimg.",
    )
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
    health_kimg: float = Field(
        default=1.0,
        gt=0,
        le=10_000,
        description="Images between two looks at the run's health (non-finite values, a discriminator that "
        "has won, samples that are all alike).",
        json_schema_extra=_unit("kimg"),
    )
    max_rollbacks: int = Field(
        default=3,
        ge=0,
        le=20,
        description="How often a broken run goes back to its last good state with halved learning rates and "
        "new random numbers, before it fails.",
        json_schema_extra=_unit("rollbacks"),
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


def _widths(default: tuple[int, ...], description: str) -> Any:
    """A field for the hidden layers of a dense network."""
    return Field(
        default=default,
        min_length=1,
        max_length=8,
        strict=False,
        description=description,
        json_schema_extra=_unit("neurons"),
    )


def _channels(default: int, description: str) -> Any:
    """A field for the width of a convolutional network."""
    return Field(default=default, ge=4, le=512, description=description, json_schema_extra=_unit("channels"))


def _weight(most: float, description: str) -> Any:
    """A field for the strength of a penalty; 0 is off."""
    return Field(default=0.0, ge=0, le=most, description=description)


def _interval(penalty: str) -> Any:
    """A field for lazy regularisation."""
    return Field(
        default=1,
        ge=1,
        le=64,
        description=f"{penalty} is computed every so many steps, so many times as strong "
        "(Karras et al. 2020, arXiv:1912.04958, section 3.1).",
        json_schema_extra=_unit("steps"),
    )


class NetworkConfig(RecipeConfig, extra="forbid", frozen=True):
    """Settings of the network that makes images: every recipe has one."""

    network: Literal["mlp", "dcgan", "resnet"] = Field(
        default="dcgan",
        description="Architecture of all networks: dense layers, convolutions after Radford et al. 2015, or "
        "residual blocks after Miyato et al. 2018.",
    )
    generator_widths: tuple[Width, ...] = _widths(
        (256, 512, 1024), "Hidden layers of the generator, first to last. Network mlp only."
    )
    generator_channels: int = _channels(
        16,
        "Channels of the generator's last hidden layer; doubled at each halving of the size. Networks dcgan "
        "and resnet only.",
    )
    generator_norm: Literal["batch", "group", "none"] = Field(
        default="batch", description="Normalisation in the generator."
    )


class GanConfig(NetworkConfig, extra="forbid", frozen=True):
    """Settings of adversarial recipes: objective, regularisers, norms and networks combine freely.

    What cannot work together is refused with the reason.
    """

    objective: Literal[
        "non-saturating", "saturating", "least-squares", "wasserstein", "hinge", "relativistic"
    ] = Field(
        default="non-saturating",
        description="Adversarial loss. The first two are binary cross-entropy (Goodfellow et al. 2014, "
        "section 3); the non-saturating generator loss keeps its gradient when the discriminator wins.",
    )
    learning_rate_discriminator: float = Field(
        default=4e-4,
        gt=0,
        le=0.1,
        description="Adam step size of the discriminator. Larger than the generator's (two time scales, "
        "Heusel et al. 2017): one that falls behind lets each class shrink to a single image.",
    )
    discriminator_steps: int = Field(
        default=1,
        ge=1,
        le=20,
        description="Batches the discriminator learns from for each step of the generator.",
        json_schema_extra=_unit("steps"),
    )
    discriminator_widths: tuple[Width, ...] = _widths(
        (512, 256), "Hidden layers of the discriminator, first to last. Network mlp only."
    )
    discriminator_channels: int = _channels(
        32,
        "Channels of the discriminator's first layer; doubled at each halving of the size. Networks dcgan and "
        "resnet only.",
    )
    discriminator_norm: Literal["batch", "group", "none", "spectral"] = Field(
        default="batch",
        description="Normalisation in the discriminator; spectral divides each weight by its largest "
        "singular value (Miyato et al. 2018).",
    )
    discriminator_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the discriminator's final features dropped at random."
    )
    class_conditioning: Literal["projection", "auxiliary"] = Field(
        default="projection",
        description="How the discriminator uses classes: an inner product with a vector of the class (Miyato "
        "& Koyama 2018), or a classifier beside the score (Odena et al. 2017).",
    )
    weight_clip: float = _weight(
        1.0, "Force the discriminator's weights into plus or minus this (Arjovsky et al. 2017); 0 is off."
    )
    r1_gamma: float = _weight(1000, "Strength of R1, flatness at real images (Mescheder et al. 2018).")
    r1_interval: int = _interval("R1")
    r2_gamma: float = _weight(1000, "Strength of R2, flatness at fakes (Mescheder et al. 2018).")
    r2_interval: int = _interval("R2")
    gradient_penalty_weight: float = _weight(
        1000, "Strength of slope 1 between real images and fakes (Gulrajani et al. 2017)."
    )
    gradient_penalty_interval: int = _interval("The gradient penalty")
    dragan_weight: float = _weight(1000, "Strength of slope 1 around real images (Kodali et al. 2017).")
    dragan_interval: int = _interval("DRAGAN's penalty")
    l1_weight: float = _weight(1, "L1 on the discriminator's weights: drives unneeded ones to zero.")
    l2_weight: float = _weight(1, "L2 on the discriminator's weights: keeps them small.")
    weight_penalty_interval: int = _interval("L1 and L2")
    penalty_final: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the gradient penalties left at the end of the kimg budget, falling along a half "
        "cosine. 1 keeps them. Below 1, a resumed run must keep its kimg.",
    )
    augment_probability: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Chance that an image shown to the discriminator is augmented (translation and cutout, "
        "differentiable; Zhao et al. 2020). Helps most with few images and long runs.",
    )
    reset_kimg: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="Periodic reset: every so many images the discriminator's last layer starts anew and both "
        "optimisers forget their moments. 0 is off.",
        json_schema_extra=_unit("kimg"),
    )

    @model_validator(mode="after")
    def _refuse_parts_that_exclude_each_other(self) -> Self:
        problems = _excluded_parts(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _excluded_parts(config: GanConfig) -> list[str]:
    """Why these settings cannot work together; empty when they can."""
    to_one = config.gradient_penalty_weight > 0 or config.dragan_weight > 0
    to_zero = config.r1_gamma > 0 or config.r2_gamma > 0
    is_bounded = config.weight_clip > 0 or to_one or to_zero or config.discriminator_norm == "spectral"
    rules = (
        (
            config.discriminator_norm == "batch" and (to_one or to_zero),
            (
                "discriminator_norm=batch makes a logit depend on the whole batch, and gradient penalties are "
                "about one image's slope (Gulrajani et al. 2017, section 4): use none, group or spectral"
            ),
        ),
        (
            config.weight_clip > 0 and config.objective != "wasserstein",
            (
                "weight_clip bounds the slope that the wasserstein objective needs bounded; with "
                f"objective={config.objective} it only weakens the discriminator: set weight_clip=0"
            ),
        ),
        (
            config.objective == "wasserstein" and not is_bounded,
            (
                "the wasserstein objective has no lower bound unless the discriminator's slope has one: set "
                "weight_clip, gradient_penalty_weight or discriminator_norm=spectral"
            ),
        ),
        (
            config.weight_clip > 0 and config.discriminator_norm == "spectral",
            "weight_clip and discriminator_norm=spectral bound the same slope in two ways: drop one of them",
        ),
        (
            to_one and to_zero,
            (
                "R1 and R2 pull the discriminator's slope to 0, gradient_penalty_weight and dragan_weight to 1: "
                "drop one kind"
            ),
        ),
        (
            config.class_conditioning == "auxiliary" and config.conditional == "no",
            (
                "class_conditioning=auxiliary classifies images, and conditional=no leaves nothing to classify: "
                "set conditional to auto or yes"
            ),
        ),
    )
    return [reason for is_broken, reason in rules if is_broken]


class VaeConfig(NetworkConfig, extra="forbid", frozen=True):
    """Settings of `vae`; `vae-gan` has them too."""

    encoder_widths: tuple[Width, ...] = _widths(
        (512, 256), "Hidden layers of the encoder, first to last. Network mlp only."
    )
    encoder_channels: int = _channels(
        32,
        "Channels of the encoder's first layer; doubled at each halving of the size. Networks dcgan and "
        "resnet only.",
    )
    encoder_norm: Literal["batch", "group", "none"] = Field(
        default="batch", description="Normalisation in the encoder."
    )
    kl_weight: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="Weight of the distance between code and prior. 1 is the evidence bound (Kingma & Welling "
        "2013), above 1 asks for independent factors (Higgins et al. 2017).",
    )
    pixel_deviation: float = Field(
        default=0.2,
        gt=0,
        le=10,
        description="Standard deviation of a pixel around its reconstruction; smaller asks for sharper "
        "reconstructions and pays with samples.",
        json_schema_extra=_unit("of the range -1 to 1"),
    )


class VaeGanConfig(GanConfig, VaeConfig, extra="forbid", frozen=True):
    """Settings of `vae-gan`."""

    likeness_weight: float = Field(
        default=0.1,
        ge=0,
        le=100,
        description="Weight of the reconstruction against the adversarial loss in the generator: gamma of "
        "Larsen et al. 2016, algorithm 1.",
    )


class AutoConfig(RecipeConfig, extra="forbid", frozen=True):
    """Settings of `auto`: those that every recipe has. What it chooses keeps its own values for the rest."""


_Config = TypeVar("_Config", bound=RecipeConfig)


def _with_defaults(name: str, base: type[_Config], **defaults: object) -> type[_Config]:
    """A config type of the same settings with other defaults, which are checked like a user's values."""
    fields: dict[str, Any] = {
        setting: (
            base.model_fields[setting].annotation,
            FieldInfo.merge_field_infos(base.model_fields[setting], default=value),
        )
        for setting, value in defaults.items()
    }
    made: type[_Config] = create_model(name, __base__=base, __module__=__name__, **fields)
    made.model_validate(defaults)
    return made


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


def _image_recipe(
    name: str, config_type: type[RecipeConfig], *, title: str, summary: str, paper: str, px_multiple: int = 4
) -> Recipe:
    """A recipe for square grey or RGB images."""
    return Recipe(
        name=name,
        title=title,
        summary=summary,
        paper=paper,
        modality="image",
        config_type=config_type,
        min_px=MIN_IMAGE_PX,
        max_px=MAX_IMAGE_PX,
        px_multiple=px_multiple,
        channels=(1, 3),
        min_count=16,
    )


_ALL_RECIPES = (
    _image_recipe(
        "mlp-gan",
        _with_defaults("MlpGanConfig", GanConfig, network="mlp", discriminator_norm="none", kimg=60.0),
        title="Dense GAN",
        summary="Fully connected generator and discriminator: the first GAN. Trains in seconds, blurs above "
        "32 px.",
        paper="Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
        px_multiple=1,
    ),
    _image_recipe(
        "dcgan",
        _with_defaults("DcganConfig", GanConfig),
        title="DCGAN",
        summary="Convolutional generator and discriminator with batch norm: sharp small images within "
        "minutes on a CPU.",
        paper="Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional Generative "
        "Adversarial Networks, arXiv:1511.06434",
    ),
    _image_recipe(
        "cgan",
        _with_defaults("CganConfig", GanConfig, conditional="yes"),
        title="Conditional GAN",
        summary="DCGAN that learns the classes of labelled data: ask for a class and get it.",
        paper="Mirza & Osindero 2014, arXiv:1411.1784; Miyato & Koyama 2018, cGANs with Projection "
        "Discriminator, arXiv:1802.05637",
    ),
    _image_recipe(
        "acgan",
        _with_defaults("AcganConfig", GanConfig, conditional="yes", class_conditioning="auxiliary"),
        title="Auxiliary classifier GAN",
        summary="DCGAN whose discriminator also names the class: typical, easily told images of each class, "
        "with less variety.",
        paper="Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, "
        "arXiv:1610.09585",
    ),
    _image_recipe(
        "lsgan",
        _with_defaults(
            "LsganConfig",
            GanConfig,
            objective="least-squares",
            learning_rate_discriminator=2e-4,
            augment_probability=0.0,
        ),
        title="Least-squares GAN",
        summary="DCGAN with a regression loss: fakes on the right side of the border still learn.",
        paper="Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv:1611.04076",
    ),
    _image_recipe(
        "wgan",
        _with_defaults(
            "WganConfig",
            GanConfig,
            augment_probability=0.0,
            objective="wasserstein",
            weight_clip=0.01,
            discriminator_steps=5,
            learning_rate_generator=5e-5,
            learning_rate_discriminator=5e-5,
            adam_beta1=0.0,
            adam_beta2=0.99,
        ),
        title="Wasserstein GAN",
        summary="A critic of clipped weights whose loss follows sample quality. Slow; kept to compare with "
        "its successor.",
        paper="Arjovsky et al. 2017, Wasserstein GAN, arXiv:1701.07875",
    ),
    _image_recipe(
        "wgan-gp",
        _with_defaults(
            "WganGpConfig",
            GanConfig,
            augment_probability=0.0,
            objective="wasserstein",
            gradient_penalty_weight=10.0,
            discriminator_steps=5,
            discriminator_norm="none",
            learning_rate_generator=1e-4,
            learning_rate_discriminator=1e-4,
            adam_beta1=0.0,
            adam_beta2=0.9,
        ),
        title="Wasserstein GAN with gradient penalty",
        summary="The Wasserstein GAN without clipping: stable with almost any network, five critic steps for "
        "each of the generator.",
        paper="Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028",
    ),
    _image_recipe(
        "dragan",
        _with_defaults(
            "DraganConfig",
            GanConfig,
            augment_probability=0.0,
            learning_rate_discriminator=2e-4,
            dragan_weight=10.0,
            discriminator_norm="none",
            adam_beta1=0.5,
            adam_beta2=0.9,
        ),
        title="DRAGAN",
        summary="DCGAN with a discriminator kept smooth around the data, which makes collapse rarer.",
        paper="Kodali et al. 2017, On Convergence and Stability of GANs, arXiv:1705.07215",
    ),
    _image_recipe(
        "sngan",
        _with_defaults(
            "SnganConfig",
            GanConfig,
            augment_probability=0.0,
            objective="hinge",
            discriminator_norm="spectral",
            learning_rate_discriminator=4e-4,
            adam_beta1=0.0,
            adam_beta2=0.9,
            ema_halflife_kimg=5.0,
        ),
        title="Spectrally normalised GAN",
        summary="Hinge loss and a discriminator of bounded slope: robust and cheap.",
        paper="Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, "
        "arXiv:1802.05957",
    ),
    _image_recipe(
        "rpgan",
        _with_defaults(
            "RpganConfig",
            GanConfig,
            augment_probability=0.0,
            learning_rate_discriminator=2e-4,
            objective="relativistic",
            r1_gamma=1.0,
            r2_gamma=1.0,
            penalty_final=0.1,
            learning_rate_final=0.25,
            discriminator_norm="none",
            adam_beta1=0.0,
            adam_beta2=0.99,
        ),
        title="Relativistic pairing GAN",
        summary="Relativistic loss with R1 and R2 on plain networks: keeps improving on long runs, slower "
        "than dcgan at first.",
        paper="Huang et al. 2024, The GAN is dead; long live the GAN!, arXiv:2501.05441",
    ),
    _image_recipe(
        "few-shot",
        _with_defaults(
            "FewShotConfig",
            GanConfig,
            augment_probability=1.0,
            kimg=60.0,
            discriminator_dropout=0.3,
            ema_halflife_kimg=5.0,
        ),
        title="Few-shot GAN",
        summary="DCGAN whose discriminator sees augmented images only and forgets part of what it sees, for sets "
        "of some 100 to 1,000 images.",
        paper="Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, "
        "arXiv:2006.10738",
    ),
    _image_recipe(
        "vae",
        _with_defaults(
            "VaeRecipeConfig",
            VaeConfig,
            latent_size=32,
            learning_rate_generator=1e-3,
            adam_beta1=0.9,
        ),
        title="Variational autoencoder",
        summary="No adversary: codes images and decodes noise. Stable, covers everything, blurs.",
        paper="Kingma & Welling 2013, Auto-Encoding Variational Bayes, arXiv:1312.6114",
    ),
    _image_recipe(
        "vae-gan",
        _with_defaults(
            "VaeGanRecipeConfig",
            VaeGanConfig,
            latent_size=32,
            learning_rate_discriminator=2e-4,
            augment_probability=0.0,
        ),
        title="VAE-GAN",
        summary="An autoencoder that compares images by the discriminator's features: sharper than a VAE, and "
        "images have codes.",
        paper="Larsen et al. 2016, Autoencoding beyond pixels using a learned similarity metric, "
        "arXiv:1512.09300",
    ),
    _image_recipe(
        "auto",
        AutoConfig,
        title="Automatic choice",
        summary="Looks at the data and the budget, takes the recipe that measured best there, and says why.",
        paper="No paper: the measurements are in docs/reference/recipes.md.",
        px_multiple=1,
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _ALL_RECIPES})

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
    elif width % (multiple := _px_multiple(config)):
        problems.append(
            f"{needs.title} needs a width that is a multiple of {multiple} px; these are {width} px."
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


def _px_multiple(config: RecipeConfig) -> int:
    """What a width must be a multiple of: convolutional networks halve it twice at least."""
    return CONVOLUTIONAL_PX_MULTIPLE if getattr(config, "network", "mlp") in {"dcgan", "resnet"} else 1


def is_conditional(config: RecipeConfig, *, classes: int) -> bool:
    """Whether a run with this config learns the classes of data that has so many."""
    return config.conditional == "yes" or (config.conditional == "auto" and classes >= 2)

"""Settings that every recipe has, and those of every recipe that trains networks."""

import math
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from ml.catalog.fields import LARGEST_SEED, Width, channels, unit, widths

MAY_DIFFER_ON_RESUME = frozenset(
    {"kimg", "max_seconds", "tick_seconds", "grid_seconds", "early_stop_patience", "card_samples"}
)
"""Settings that do not change the weights at a given number of images, unless a schedule follows kimg."""


class RecipeConfig(BaseModel, extra="forbid", frozen=True, strict=True, allow_inf_nan=False):
    """Settings every recipe has. Schedules and budgets are counted in images, never in steps."""

    kimg: float = Field(
        default=30.0,
        gt=0,
        le=1_000_000,
        description="Training budget: thousand real images shown to the discriminator.",
        json_schema_extra=unit("kimg"),
    )
    max_seconds: float | None = Field(
        default=None,
        gt=0,
        le=30 * 24 * 3600,
        description="Stop earlier when training has taken this long, resumed parts included.",
        json_schema_extra=unit("seconds"),
    )
    holdout: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Share of the images that training never sees, for honest evaluation. null: a tenth of 500 "
        "images or more, none of fewer. Data that come with a test split keep that one.",
    )
    batch_size: int = Field(
        default=32,
        ge=2,
        le=1024,
        description="Real images in one step; the generator makes as many.",
        json_schema_extra=unit("images"),
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
        json_schema_extra=unit("kimg"),
    )
    latent_size: int = Field(
        default=64,
        ge=2,
        le=1024,
        description="Length of the noise vector z.",
        json_schema_extra=unit("numbers"),
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
        json_schema_extra=unit("kimg"),
    )
    max_rollbacks: int = Field(
        default=3,
        ge=0,
        le=20,
        description="How often a broken run goes back to its last good state with halved learning rates and "
        "new random numbers, before it fails.",
        json_schema_extra=unit("rollbacks"),
    )
    kid_kimg: float = Field(
        default=10.0,
        ge=0,
        le=1_000_000,
        description="Images between two measurements of the kernel distance (KID) to held-out images, growing "
        "to a twentieth of the images seen. At the end the snapshot with the lowest and the last are compared once "
        "more, and the better one is published. 0 turns it off, and the last is published.",
        json_schema_extra=unit("kimg"),
    )
    early_stop_patience: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="End the run after so many measurements in a row that found no better snapshot. 0 never "
        "does: the budget decides.",
        json_schema_extra=unit("measurements"),
    )
    tick_seconds: float = Field(
        default=1.0,
        ge=0,
        le=600,
        description="Time between two progress reports.",
        json_schema_extra=unit("seconds"),
    )
    grid_seconds: float = Field(
        default=10.0,
        ge=0,
        le=24 * 3600,
        description="Time between two sample grids; 0 draws only the last one.",
        json_schema_extra=unit("seconds"),
    )

    card_samples: int = Field(
        default=500,
        ge=0,
        le=10_000,
        description="Samples that the model card's figures are measured with after training, beside as many "
        "held-out images. 0 measures nothing.",
        json_schema_extra=unit("images"),
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
        if self.early_stop_patience and not self.kid_kimg:
            msg = (
                "early_stop_patience counts measurements of the kernel distance, and kid_kimg=0 turns them off: "
                "set kid_kimg, or early_stop_patience=0"
            )
            raise ValueError(msg)
        if self.deterministic and self.max_seconds is not None:
            msg = (
                "deterministic runs end after kimg images and max_seconds ends a run by the clock, "
                "so the weights would depend on the machine's speed: drop one of the two"
            )
            raise ValueError(msg)
        return self


class NetworkConfig(RecipeConfig, extra="forbid", frozen=True):
    """Settings of the network that makes images: every recipe has one."""

    network: Literal["mlp", "dcgan", "resnet"] = Field(
        default="dcgan",
        description="Architecture of all networks: dense layers, convolutions after Radford et al. 2015, or "
        "residual blocks after Miyato et al. 2018.",
    )
    generator_widths: tuple[Width, ...] = widths(
        (256, 512, 1024), "Hidden layers of the generator, first to last. Network mlp only."
    )
    generator_channels: int = channels(
        16,
        "Channels of the generator's last hidden layer; doubled at each halving of the size. Networks dcgan "
        "and resnet only.",
    )
    generator_norm: Literal["batch", "group", "none"] = Field(
        default="batch", description="Normalisation in the generator."
    )


class AutoConfig(RecipeConfig, extra="forbid", frozen=True):
    """Settings of `auto`: those that every recipe has. What it chooses keeps its own values for the rest."""

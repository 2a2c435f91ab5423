"""Settings of the autoencoders."""

from typing import Literal

from pydantic import Field

from ml.catalog.fields import Width, channels, unit, widths
from ml.catalog.gan import GanConfig
from ml.catalog.settings import NetworkConfig


class VaeConfig(NetworkConfig, extra="forbid", frozen=True):
    """Settings of `vae`; `vae-gan` has them too."""

    encoder_widths: tuple[Width, ...] = widths(
        (512, 256), "Hidden layers of the encoder, first to last. Network mlp only."
    )
    encoder_channels: int = channels(
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
        json_schema_extra=unit("of the range -1 to 1"),
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

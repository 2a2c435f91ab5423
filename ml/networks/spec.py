"""What a network is made of, as plain validated data: a snapshot stores it, and loading rebuilds from it."""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field

from ml.catalog import MAX_IMAGE_PX, MIN_IMAGE_PX, GanConfig, NetworkConfig, RecipeConfig, VaeConfig, Width

LARGEST_CLASS_COUNT = 1000
Norm = Literal["batch", "group", "none"]
ImageChannels = Literal[1, 2, 3, 4]


class _ImageSpec(BaseModel, extra="forbid", frozen=True, strict=True):
    """Attributes all networks share.

    Attributes:
        px: image width and height.
        image_channels: 1 for grey, 3 for RGB; 2 and 4 with alpha.
        norm: kind of normalisation between the layers.
    """

    px: int = Field(ge=MIN_IMAGE_PX, le=MAX_IMAGE_PX)
    image_channels: ImageChannels
    norm: Norm = "batch"


class _GeneratorSpec(_ImageSpec, frozen=True):
    """Attributes all generators share.

    Attributes:
        classes: number of classes the network is told, 0 for none.
        latent_size: length of z.
    """

    classes: int = Field(ge=0, le=LARGEST_CLASS_COUNT)
    latent_size: int = Field(ge=2, le=1024)


class MlpGeneratorSpec(_GeneratorSpec, frozen=True):
    network: Literal["mlp-generator"] = "mlp-generator"
    widths: tuple[Width, ...] = Field(min_length=1, max_length=8, strict=False)


class DcganGeneratorSpec(_GeneratorSpec, frozen=True):
    network: Literal["dcgan-generator"] = "dcgan-generator"
    channels: int = Field(ge=4, le=512)


class ResnetGeneratorSpec(_GeneratorSpec, frozen=True):
    network: Literal["resnet-generator"] = "resnet-generator"
    channels: int = Field(ge=4, le=512)


class MlpFeatureSpec(_ImageSpec, frozen=True):
    network: Literal["mlp-features"] = "mlp-features"
    widths: tuple[Width, ...] = Field(min_length=1, max_length=8, strict=False)


class DcganFeatureSpec(_ImageSpec, frozen=True):
    network: Literal["dcgan-features"] = "dcgan-features"
    channels: int = Field(ge=4, le=512)


class ResnetFeatureSpec(_ImageSpec, frozen=True):
    network: Literal["resnet-features"] = "resnet-features"
    channels: int = Field(ge=4, le=512)


GeneratorSpec = Annotated[
    MlpGeneratorSpec | DcganGeneratorSpec | ResnetGeneratorSpec, Field(discriminator="network")
]
FeatureSpec = Annotated[MlpFeatureSpec | DcganFeatureSpec | ResnetFeatureSpec, Field(discriminator="network")]


class DiscriminatorSpec(BaseModel, extra="forbid", frozen=True, strict=True):
    """A discriminator: features, and what stands on them.

    Attributes:
        features: the network below.
        classes: number of classes it is told or predicts, 0 for none.
        auxiliary: predicts classes instead of being told them.
        spectral: divide each weight by its largest singular value.
        dropout: share of features dropped.
    """

    features: FeatureSpec
    classes: int = Field(ge=0, le=LARGEST_CLASS_COUNT)
    auxiliary: bool = False
    spectral: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)


class EncoderSpec(BaseModel, extra="forbid", frozen=True, strict=True):
    """An encoder: features, and a layer that gives mean and variance of the code."""

    features: FeatureSpec
    classes: int = Field(ge=0, le=LARGEST_CLASS_COUNT)
    latent_size: int = Field(ge=2, le=1024)


class NetworkSpecs(NamedTuple):
    """The networks of a recipe; None for those it has no use for."""

    generator: GeneratorSpec
    discriminator: DiscriminatorSpec | None
    encoder: EncoderSpec | None = None


def network_specs(
    config: RecipeConfig, *, px: int, image_channels: ImageChannels, classes: int
) -> NetworkSpecs:
    """The networks that a recipe's config asks for, for images of this shape."""
    if not isinstance(config, NetworkConfig):
        raise TypeError(f"no networks are known for {type(config).__name__}")
    return NetworkSpecs(
        generator=_generator_spec(config, px, image_channels, classes),
        discriminator=_discriminator_spec(config, px, image_channels, classes)
        if isinstance(config, GanConfig)
        else None,
        encoder=_encoder_spec(config, px, image_channels, classes) if isinstance(config, VaeConfig) else None,
    )


def _generator_spec(
    config: NetworkConfig, px: int, image_channels: ImageChannels, classes: int
) -> GeneratorSpec:
    if config.network == "mlp":
        return MlpGeneratorSpec(
            px=px,
            image_channels=image_channels,
            norm=config.generator_norm,
            classes=classes,
            latent_size=config.latent_size,
            widths=config.generator_widths,
        )
    made = DcganGeneratorSpec if config.network == "dcgan" else ResnetGeneratorSpec
    return made(
        px=px,
        image_channels=image_channels,
        norm=config.generator_norm,
        classes=classes,
        latent_size=config.latent_size,
        channels=config.generator_channels,
    )


def _discriminator_spec(
    config: GanConfig, px: int, image_channels: ImageChannels, classes: int
) -> DiscriminatorSpec:
    spectral = config.discriminator_norm == "spectral"
    features = _feature_spec(
        config.network,
        px,
        image_channels,
        norm="none" if config.discriminator_norm == "spectral" else config.discriminator_norm,
        widths=config.discriminator_widths,
        channels=config.discriminator_channels,
    )
    return DiscriminatorSpec(
        features=features,
        classes=classes,
        auxiliary=config.class_conditioning == "auxiliary",
        spectral=spectral,
        dropout=config.discriminator_dropout,
    )


def _encoder_spec(config: VaeConfig, px: int, image_channels: ImageChannels, classes: int) -> EncoderSpec:
    features = _feature_spec(
        config.network,
        px,
        image_channels,
        norm=config.encoder_norm,
        widths=config.encoder_widths,
        channels=config.encoder_channels,
    )
    return EncoderSpec(features=features, classes=classes, latent_size=config.latent_size)


def _feature_spec(
    network: Literal["mlp", "dcgan", "resnet"],
    px: int,
    image_channels: ImageChannels,
    *,
    norm: Norm,
    widths: tuple[int, ...],
    channels: int,
) -> FeatureSpec:
    if network == "mlp":
        return MlpFeatureSpec(px=px, image_channels=image_channels, norm=norm, widths=widths)
    made = DcganFeatureSpec if network == "dcgan" else ResnetFeatureSpec
    return made(px=px, image_channels=image_channels, norm=norm, channels=channels)

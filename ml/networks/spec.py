"""What a network is made of, as plain validated data: a snapshot stores it, and loading rebuilds from it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ml.catalog import MAX_IMAGE_PX, MIN_IMAGE_PX, DcganConfig, MlpGanConfig, RecipeConfig, Width

LARGEST_CLASS_COUNT = 1000


class _NetworkSpec(BaseModel, extra="forbid", frozen=True, strict=True):
    """Attributes all networks share.

    Attributes:
        px: image width and height.
        image_channels: 1 or 3.
        classes: number of classes the network is told, 0 for none.
    """

    px: int = Field(ge=MIN_IMAGE_PX, le=MAX_IMAGE_PX)
    image_channels: Literal[1, 3]
    classes: int = Field(ge=0, le=LARGEST_CLASS_COUNT)


class MlpGeneratorSpec(_NetworkSpec, frozen=True):
    network: Literal["mlp-generator"] = "mlp-generator"
    latent_size: int = Field(ge=2, le=1024)
    widths: tuple[Width, ...] = Field(min_length=1, max_length=8, strict=False)


class DcganGeneratorSpec(_NetworkSpec, frozen=True):
    network: Literal["dcgan-generator"] = "dcgan-generator"
    latent_size: int = Field(ge=2, le=1024)
    channels: int = Field(ge=4, le=512)


class MlpDiscriminatorSpec(_NetworkSpec, frozen=True):
    network: Literal["mlp-discriminator"] = "mlp-discriminator"
    widths: tuple[Width, ...] = Field(min_length=1, max_length=8, strict=False)


class DcganDiscriminatorSpec(_NetworkSpec, frozen=True):
    network: Literal["dcgan-discriminator"] = "dcgan-discriminator"
    channels: int = Field(ge=4, le=512)


GeneratorSpec = Annotated[MlpGeneratorSpec | DcganGeneratorSpec, Field(discriminator="network")]
DiscriminatorSpec = Annotated[MlpDiscriminatorSpec | DcganDiscriminatorSpec, Field(discriminator="network")]


def network_specs(
    config: RecipeConfig, *, px: int, image_channels: Literal[1, 3], classes: int
) -> tuple[MlpGeneratorSpec | DcganGeneratorSpec, MlpDiscriminatorSpec | DcganDiscriminatorSpec]:
    """The two networks that a recipe's config asks for, for images of this shape."""
    if isinstance(config, MlpGanConfig):
        return (
            MlpGeneratorSpec(
                px=px,
                image_channels=image_channels,
                classes=classes,
                latent_size=config.latent_size,
                widths=config.generator_widths,
            ),
            MlpDiscriminatorSpec(
                px=px, image_channels=image_channels, classes=classes, widths=config.discriminator_widths
            ),
        )
    if isinstance(config, DcganConfig):
        return (
            DcganGeneratorSpec(
                px=px,
                image_channels=image_channels,
                classes=classes,
                latent_size=config.latent_size,
                channels=config.generator_channels,
            ),
            DcganDiscriminatorSpec(
                px=px, image_channels=image_channels, classes=classes, channels=config.discriminator_channels
            ),
        )
    raise TypeError(f"no networks are known for {type(config).__name__}")

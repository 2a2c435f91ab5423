"""Settings of adversarial recipes, and which of them cannot work together."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ml.catalog.fields import Width, channels, interval, unit, weight, widths
from ml.catalog.settings import NetworkConfig


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
        json_schema_extra=unit("steps"),
    )
    discriminator_widths: tuple[Width, ...] = widths(
        (512, 256), "Hidden layers of the discriminator, first to last. Network mlp only."
    )
    discriminator_channels: int = channels(
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
    weight_clip: float = weight(
        1.0, "Force the discriminator's weights into plus or minus this (Arjovsky et al. 2017); 0 is off."
    )
    r1_gamma: float = weight(1000, "Strength of R1, flatness at real images (Mescheder et al. 2018).")
    r1_interval: int = interval("R1")
    r2_gamma: float = weight(1000, "Strength of R2, flatness at fakes (Mescheder et al. 2018).")
    r2_interval: int = interval("R2")
    gradient_penalty_weight: float = weight(
        1000, "Strength of slope 1 between real images and fakes (Gulrajani et al. 2017)."
    )
    gradient_penalty_interval: int = interval("The gradient penalty")
    dragan_weight: float = weight(1000, "Strength of slope 1 around real images (Kodali et al. 2017).")
    dragan_interval: int = interval("DRAGAN's penalty")
    l1_weight: float = weight(1, "L1 on the discriminator's weights: drives unneeded ones to zero.")
    l2_weight: float = weight(1, "L2 on the discriminator's weights: keeps them small.")
    weight_penalty_interval: int = interval("L1 and L2")
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
        "differentiable; Zhao et al. 2020). Helps most with few images and long runs. With augment_target above "
        "0 it is where the run begins.",
    )
    augment_target: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Adaptive augmentation (Karras et al. 2020): the chance rises while the mean sign of the "
        "discriminator's logits for training images is above this, and falls while it is below, never above 0.8. "
        "The paper takes 0.6. 0 keeps augment_probability.",
    )
    augment_adapt_kimg: float = Field(
        default=100.0,
        ge=1,
        le=1_000_000,
        description="Images in which the adaptive chance goes from 0 to 1 at the fastest; the paper takes 500, for "
        "runs of 25,000.",
        json_schema_extra=unit("kimg"),
    )
    reset_kimg: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="Periodic reset: every so many images the discriminator's last layer starts anew and both "
        "optimisers forget their moments. 0 is off.",
        json_schema_extra=unit("kimg"),
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
            config.augment_target > 0
            and config.objective in {"wasserstein", "relativistic", "least-squares"},
            (
                "augment_target reads the sign of the discriminator's logits, and with "
                f"objective={config.objective} 0 is not the border between real and fake: set augment_target=0"
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

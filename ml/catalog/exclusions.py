"""Settings of adversarial recipes that cannot work together, each with the reason."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml.catalog.gan import GanConfig


def excluded_parts(config: "GanConfig") -> list[str]:
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

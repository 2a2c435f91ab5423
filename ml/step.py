"""One step of the game: the discriminator learns, then the generator. No files, no clocks, no hooks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ml.augment import augment, draw_augmentation
from ml.catalog import RecipeConfig
from ml.objectives.objective import Objective
from ml.state import TrainingState


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """Scalars of one step, still on the device so that reading them does not stall it."""

    loss_discriminator: Tensor
    loss_generator: Tensor
    real_logits: Tensor
    fake_logits: Tensor
    diversity: Tensor


def adversarial_step(
    state: TrainingState,
    real_images: Tensor,
    labels: Tensor | None,
    *,
    objective: Objective,
    config: RecipeConfig,
) -> StepStatistics:
    """Update both players and the average on one batch, and count it.

    The generator runs once: its images serve the discriminator's step without their graph, and the
    generator's own step, against the updated discriminator, with it.

    Args:
        state: changed in place.
        real_images: float32 [N, C, H, W] in [-1, 1].
        labels: int64 [N] or None; the fakes are asked for the same classes.
        objective: the two losses.
        config: settings of the run.
    """
    count = len(real_images)
    autocast = torch.autocast(
        state.device.type, dtype=torch.bfloat16, enabled=state.precision == "bf16", cache_enabled=True
    )
    z = torch.randn(count, config.latent_size, generator=state.noise).to(state.device)
    with autocast:
        fake_images = state.generator(z, labels)

    state.optimizer_discriminator.zero_grad(set_to_none=True)
    with autocast:
        real_logits = _logits(state, real_images, labels, config)
        fake_logits = _logits(state, fake_images.detach(), labels, config)
    loss_discriminator = objective.discriminator_loss(real_logits, fake_logits)
    torch.autograd.backward(loss_discriminator)
    state.optimizer_discriminator.step()

    # The generator's step needs gradients through the discriminator, not of it.
    state.discriminator.requires_grad_(False)
    state.optimizer_generator.zero_grad(set_to_none=True)
    with autocast:
        judged_logits = _logits(state, fake_images, labels, config)
        real_again = (
            _logits(state, real_images, labels, config) if objective.generator_needs_real_logits else None
        )
    loss_generator = objective.generator_loss(judged_logits, real_again)
    torch.autograd.backward(loss_generator)
    state.optimizer_generator.step()
    state.discriminator.requires_grad_(True)

    state.images_seen += count
    state.ema.update(state.generator, batch_size=count, images_seen=state.images_seen)
    return StepStatistics(
        loss_discriminator=loss_discriminator.detach(),
        loss_generator=loss_generator.detach(),
        real_logits=real_logits.detach().mean(),
        fake_logits=fake_logits.detach().mean(),
        diversity=_diversity(fake_images.detach(), real_images),
    )


def _logits(state: TrainingState, images: Tensor, labels: Tensor | None, config: RecipeConfig) -> Tensor:
    """What the discriminator says of (augmented) images: float32 [N]."""
    if config.augment_probability > 0:
        parameters = draw_augmentation(
            len(images),
            images.shape[-1],
            probability=config.augment_probability,
            rng=state.augmentation,
        )
        images = augment(images, parameters)
    logits: Tensor = state.discriminator(images, labels)
    return logits.float()


def _diversity(fake_images: Tensor, real_images: Tensor) -> Tensor:
    """How much the fakes of a batch differ from each other, over the same of the reals; 0 is one image."""
    spread = fake_images.float().std(dim=0).mean()
    return spread / real_images.std(dim=0).mean().clamp_min(1e-6)

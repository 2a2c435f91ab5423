"""One step of a VAE-GAN: Larsen et al. 2016, arXiv:1512.09300, algorithm 1."""

import torch
from torch import Tensor, nn

from ml.catalog import VaeGanConfig
from ml.networks.encoder import split_code
from ml.objectives.objective import Objective
from ml.training.learning_rates import apply_learning_rates
from ml.training.state import TrainingState
from ml.training.steps.gan import (
    StepStatistics,
    autocast_of,
    count_images,
    discriminator_of,
    discriminator_update,
    diversity,
)
from ml.training.steps.vae import draw_code, encoder_of, gaussian_divergence


def vae_gan_step(
    state: TrainingState,
    real_images: Tensor,
    labels: Tensor | None,
    *,
    objective: Objective,
    config: VaeGanConfig,
) -> StepStatistics:
    """Update discriminator, encoder, generator and the average on one batch, and count it.

    Half of the fakes are reconstructions and half come from the prior. Likeness is measured in the
    discriminator's features instead of pixels, and the discriminator does not learn from it.

    Args:
        state: changed in place.
        real_images: float32 [N, C, H, W] in [-1, 1].
        labels: int64 [N] or None; told to all networks.
        objective: the adversarial losses.
        config: settings of the run.
    """
    count = len(real_images)
    apply_learning_rates(state, config)
    with autocast_of(state):
        code = encoder_of(state)(real_images, labels)
    mean, log_variance = split_code(code)
    noise, drawn = (
        state.crew.normal(count, config.latent_size, state.noise).to(state.device) for _ in range(2)
    )
    decoded = draw_code(mean, log_variance, noise)
    both_labels = None if labels is None else labels.repeat(2)
    with autocast_of(state):
        fake_images = state.generator(torch.cat((decoded, drawn)), both_labels)
    loss_discriminator, real, fake, more = discriminator_update(
        state,
        real_images.repeat(2, 1, 1, 1),
        fake_images.detach(),
        both_labels,
        objective=objective,
        config=config,
    )
    divergence = gaussian_divergence(mean, log_variance).mean()
    loss_generator, likeness = _autoencoder_update(
        state, real_images, fake_images, labels, divergence, objective=objective, config=config
    )
    count_images(state, count)
    return StepStatistics(
        loss_discriminator=loss_discriminator,
        loss_generator=loss_generator,
        real_logits=real.mean(),
        fake_logits=fake.mean(),
        diversity=diversity(fake_images[count:].detach(), real_images),
        more={**more, "likeness": likeness, "divergence": divergence.detach()},
    )


def _autoencoder_update(
    state: TrainingState,
    real_images: Tensor,
    fake_images: Tensor,
    labels: Tensor | None,
    divergence: Tensor,
    *,
    objective: Objective,
    config: VaeGanConfig,
) -> tuple[Tensor, Tensor]:
    """One step of encoder and generator, each with its own loss; returns the adversarial one and likeness."""
    count = len(real_images)
    judge = discriminator_of(state).requires_grad_(False)
    with autocast_of(state):
        both_labels = None if labels is None else labels.repeat(2)
        fake = judge.score(fake_images, both_labels)
        with torch.no_grad():
            real = judge.score(real_images, labels)
    # The paper's log-likelihood of features under a unit Gaussian.
    difference = fake.features[:count].float() - real.features.float()
    likeness = 0.5 * difference.square().sum(dim=1).mean()
    real_logits = real.logits.float().repeat(2) if objective.generator_needs_real_logits else None
    adversarial = objective.generator_loss(fake.logits.float(), real_logits)
    encoder, generator = encoder_of(state), state.generator
    _set_gradients(encoder, config.kl_weight * divergence + likeness)
    _set_gradients(generator, config.likeness_weight * likeness + adversarial)
    for player in ("encoder", "generator"):
        module, optimizer = state.players()[player]
        state.crew.average_gradients(module)
        optimizer.step()
    judge.requires_grad_(True)
    return adversarial.detach(), likeness.detach()


def _set_gradients(module: nn.Module, loss: Tensor) -> None:
    """Give the module's parameters the gradient of this loss alone."""
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient

"""One step of a variational autoencoder: Kingma & Welling 2013, arXiv:1312.6114."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ml.catalog import VaeConfig
from ml.networks.encoder import split_code
from ml.training.learning_rates import apply_learning_rates
from ml.training.state import TrainingState
from ml.training.steps.gan import autocast_of, count_images, diversity


@dataclass(frozen=True, slots=True)
class VaeStatistics:
    """Scalars of one step, still on the device.

    Attributes:
        loss_generator: the negative evidence bound, in nats an image, constants left out.
        reconstruction: its part for images that do not come back as they were.
        divergence: its part for codes unlike the prior, in nats.
        diversity: of reconstructions, over the same of the images.
    """

    loss_generator: Tensor
    reconstruction: Tensor
    divergence: Tensor
    diversity: Tensor

    def scalars(self) -> dict[str, Tensor]:
        """All of them by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def encoder_of(state: TrainingState) -> nn.Module:
    """The encoder of an autoencoder's run."""
    if state.encoder is None:
        raise TypeError("this recipe has no encoder")
    return state.encoder


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each code, summed over its numbers: [N].

    1/2 sum (mean^2 + variance - 1 - log variance), the paper's appendix B with its sign turned.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def squared_error(images: Tensor, targets: Tensor, *, deviation: float) -> Tensor:
    """-log N(target; image, deviation^2) of each image, its constant left out: [N]."""
    return (images.float() - targets).square().flatten(1).sum(dim=1) / (2 * deviation**2)


def draw_code(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """mean + deviation * noise: a sample of the code that gradients pass through (section 2.4)."""
    return mean + (0.5 * log_variance).exp() * noise.to(mean.device)


def vae_step(
    state: TrainingState, real_images: Tensor, labels: Tensor | None, *, config: VaeConfig
) -> VaeStatistics:
    """Update encoder, generator and the average on one batch, and count it.

    Args:
        state: changed in place.
        real_images: float32 [N, C, H, W] in [-1, 1].
        labels: int64 [N] or None; told to both networks.
        config: settings of the run.
    """
    count = len(real_images)
    apply_learning_rates(state, config)
    learners = [state.players()[player] for player in ("generator", "encoder")]
    for _, optimizer in learners:
        optimizer.zero_grad(set_to_none=True)
    with autocast_of(state):
        code = encoder_of(state)(real_images, labels)
    mean, log_variance = split_code(code)
    z = draw_code(mean, log_variance, state.crew.normal(count, config.latent_size, state.noise))
    with autocast_of(state):
        images = state.generator(z, labels)
    reconstruction = squared_error(images, real_images, deviation=config.pixel_deviation).mean()
    divergence = gaussian_divergence(mean, log_variance).mean()
    loss = reconstruction + config.kl_weight * divergence
    # Adam does not feel the scale; gradients of a size like other recipes' keep the health checks meaningful.
    torch.autograd.backward(loss / real_images[0].numel())
    for module, optimizer in learners:
        state.crew.average_gradients(module)
        optimizer.step()
    count_images(state, count)
    return VaeStatistics(
        loss_generator=loss.detach(),
        reconstruction=reconstruction.detach(),
        divergence=divergence.detach(),
        diversity=diversity(images.detach(), real_images),
    )

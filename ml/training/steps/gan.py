"""One step of the game: the discriminator learns, then the generator. No files, no clocks, no hooks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ml.catalog import GanConfig
from ml.networks.discriminator import Discriminator, Scores
from ml.objectives.objective import Objective
from ml.objectives.wasserstein import clip_weights
from ml.regularizers.lazy import PenaltyInput, penalties_of, penalty_sum
from ml.training.augment import augment, draw_augmentation
from ml.training.learning_rates import apply_learning_rates
from ml.training.schedule import cosine_factor
from ml.training.state import TrainingState


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """Scalars of one step, still on the device so that reading them does not stall it.

    Attributes:
        more: what only some recipes have, such as `penalty` or `class_loss`.
    """

    loss_discriminator: Tensor
    loss_generator: Tensor
    real_logits: Tensor
    fake_logits: Tensor
    diversity: Tensor
    more: Mapping[str, Tensor] = field(default_factory=dict)

    def scalars(self) -> dict[str, Tensor]:
        """All of them by name; the same names at every step of a run."""
        return {
            "loss_discriminator": self.loss_discriminator,
            "loss_generator": self.loss_generator,
            "real_logits": self.real_logits,
            "fake_logits": self.fake_logits,
            "diversity": self.diversity,
            **self.more,
        }


def adversarial_step(
    state: TrainingState,
    real_images: Tensor,
    labels: Tensor | None,
    *,
    objective: Objective,
    config: GanConfig,
) -> StepStatistics:
    """Update the discriminator on one batch, the generator when it is its turn, and the average; count it.

    The generator runs once: its images serve the discriminator's step without their graph, and the
    generator's own step, against the updated discriminator, with it.

    Args:
        state: changed in place.
        real_images: float32 [N, C, H, W] in [-1, 1]; this process's share of a batch.
        labels: int64 [N] or None; the fakes are asked for the same classes.
        objective: the two losses.
        config: settings of the run.
    """
    count = len(real_images)
    step = state.images_seen // config.batch_size
    is_generators_turn = (step + 1) % config.discriminator_steps == 0
    apply_learning_rates(state, config)
    z = state.crew.normal(count, config.latent_size, state.noise).to(state.device)
    with autocast_of(state), torch.set_grad_enabled(is_generators_turn):
        fake_images = state.generator(z, labels)

    loss_discriminator, real, fake, more = discriminator_update(
        state, real_images, fake_images.detach(), labels, objective=objective, config=config
    )
    if is_generators_turn:
        loss_generator = _generator_update(state, real_images, fake_images, labels, objective=objective)
    else:
        loss_generator = objective.generator_loss(fake, real)

    count_images(state, count)
    return StepStatistics(
        loss_discriminator=loss_discriminator,
        loss_generator=loss_generator.detach(),
        real_logits=real.mean(),
        fake_logits=fake.mean(),
        diversity=diversity(fake_images.detach(), real_images),
        more=more,
    )


def count_images(state: TrainingState, count: int) -> None:
    """Count a step in which every process learned from `count` images, and move the average."""
    batch_size = count * state.crew.size
    state.images_seen += batch_size
    state.ema.update(state.generator, batch_size=batch_size, images_seen=state.images_seen)


def autocast_of(state: TrainingState) -> torch.autocast:
    """The number format of this run's network passes, as a context."""
    return torch.autocast(
        state.device.type, dtype=torch.bfloat16, enabled=state.precision == "bf16", cache_enabled=True
    )


def discriminator_of(state: TrainingState) -> Discriminator:
    """The discriminator of an adversarial run."""
    if state.discriminator is None:
        raise TypeError("this recipe has no discriminator")
    return state.discriminator


def discriminator_update(
    state: TrainingState,
    real_images: Tensor,
    fake_images: Tensor,
    labels: Tensor | None,
    *,
    objective: Objective,
    config: GanConfig,
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """One step of the discriminator; returns its loss without penalties, both logits, and further scalars."""
    optimizer = state.players()["discriminator"][1]
    optimizer.zero_grad(set_to_none=True)
    with autocast_of(state):
        real, fake = _score_both(state, real_images, fake_images, labels, config)
    loss = objective.discriminator_loss(real.logits, fake.logits)
    total, more = loss, {}
    if real.class_logits is not None and labels is not None:
        # Of real images alone: what learns from fakes as well accepts whatever class the generator gives them,
        # and on Fashion-MNIST the two agreed on wrong classes (label accuracy 0.29 to 0.79; so, 0.99).
        more["class_loss"] = _class_loss(real, labels)
        total = total + more["class_loss"]
    penalties = penalties_of(config)
    if penalties:
        more["penalty"] = _penalty(state, real_images, fake_images, labels, config)
        total = total + more["penalty"]
    torch.autograd.backward(total)
    state.crew.average_gradients(discriminator_of(state))
    optimizer.step()
    if config.weight_clip > 0:
        clip_weights(discriminator_of(state), config.weight_clip)
    if state.adaptive.is_adaptive:
        more["augment_probability"] = torch.tensor(state.adaptive.probability, device=state.device)
        state.adaptive.observe(real.logits.detach(), state.crew)
    scalars = {name: value.detach() for name, value in more.items()}
    return loss.detach(), real.logits.detach(), fake.logits.detach(), scalars


def _generator_update(
    state: TrainingState,
    real_images: Tensor,
    fake_images: Tensor,
    labels: Tensor | None,
    *,
    objective: Objective,
) -> Tensor:
    """One step of the generator; returns its adversarial loss."""
    # The generator's step needs gradients through the discriminator, not of it.
    discriminator_of(state).requires_grad_(False)
    state.optimizer_generator.zero_grad(set_to_none=True)
    with autocast_of(state):
        judged = _score(state, fake_images, labels)
        real_again = (
            _score(state, real_images, labels).logits if objective.generator_needs_real_logits else None
        )
    loss = objective.generator_loss(judged.logits, real_again)
    total = loss
    if judged.class_logits is not None and labels is not None:
        total = total + _class_loss(judged, labels)
    torch.autograd.backward(total)
    state.crew.average_gradients(state.generator)
    state.optimizer_generator.step()
    discriminator_of(state).requires_grad_(True)
    return loss


def _score(state: TrainingState, images: Tensor, labels: Tensor | None) -> Scores:
    """What the discriminator says of (augmented) images, in float32."""
    if state.adaptive.probability > 0:
        parameters = draw_augmentation(
            len(images),
            images.shape[-1],
            probability=state.adaptive.probability,
            rng=state.augmentation,
        )
        images = augment(images, parameters)
    scores = discriminator_of(state).score(images, labels)
    class_logits = None if scores.class_logits is None else scores.class_logits.float()
    return Scores(scores.logits.float(), class_logits, scores.features)


def _score_both(
    state: TrainingState,
    real_images: Tensor,
    fake_images: Tensor,
    labels: Tensor | None,
    config: GanConfig,
) -> tuple[Scores, Scores]:
    """Scores of real images and fakes, in one pass unless batch norm would then mix their statistics."""
    if config.discriminator_norm == "batch":
        real = _score(state, real_images, labels)
        return real, _score(state, fake_images, labels)
    count = len(real_images)
    images = torch.cat((real_images, fake_images.to(real_images.dtype)))
    both = _score(state, images, None if labels is None else labels.repeat(2))
    real, fake = (
        Scores(
            both.logits[part],
            None if both.class_logits is None else both.class_logits[part],
            both.features[part],
        )
        for part in (slice(count), slice(count, None))
    )
    return real, fake


def _class_loss(scores: Scores, labels: Tensor) -> Tensor:
    """-E[log P(C = c | x)]: L_C of Odena et al. 2017, equation 3, with its sign turned."""
    if scores.class_logits is None:
        raise TypeError("this discriminator has no auxiliary classifier")
    return cross_entropy(scores.class_logits, labels)


def _penalty(
    state: TrainingState,
    real_images: Tensor,
    fake_images: Tensor,
    labels: Tensor | None,
    config: GanConfig,
) -> Tensor:
    """The penalties due at this step; 0 at a step without any."""

    def judge(images: Tensor, labels: Tensor | None) -> Tensor:
        with autocast_of(state):
            return _score(state, images, labels).logits

    given = PenaltyInput(
        discriminator=discriminator_of(state),
        judge=judge,
        real_images=real_images,
        fake_images=fake_images.to(real_images.dtype),
        labels=labels,
        rng=state.penalty,
    )
    total = penalty_sum(penalties_of(config), given, step=state.images_seen // config.batch_size)
    if total is None:
        return torch.zeros((), device=state.device)
    return total * cosine_factor(
        config.penalty_final, images_seen=state.images_seen, total_images=config.total_images
    )


def diversity(fake_images: Tensor, real_images: Tensor) -> Tensor:
    """How much the fakes of a batch differ from each other, over the same of the reals; 0 is one image."""
    return _spread(fake_images.float()) / _spread(real_images).clamp_min(1e-6)


def _spread(images: Tensor) -> Tensor:
    """Mean over pixels of the standard deviation over images.

    By the mean of squares, which is exact enough for pixels in [-1, 1]: torch's `std` over the first dimension
    takes over ten times as long, a twentieth of a dense network's whole step.
    """
    mean = images.mean(dim=0)
    return (images.square().mean(dim=0) - mean.square()).clamp_min(0).sqrt().mean()

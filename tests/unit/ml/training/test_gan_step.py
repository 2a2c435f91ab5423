"""The adversarial step against the textbook's: three backward passes, probabilities, plain Adam."""

import copy
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, cross_entropy

from ml.catalog import GanConfig, RecipeConfig
from ml.data.packed import PackedDataset
from ml.networks.spec import network_specs
from ml.objectives.choose import choose_objective
from ml.training.state import TrainingState
from ml.training.steps.gan import adversarial_step, discriminator_of

MakeConfig = Callable[..., RecipeConfig]
STEPS = 5


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize(("precision", "band"), [("fp32", 1e-3), ("bf16", 0.1)])
def test_losses_are_those_of_the_textbook_loop(
    norm: str,
    precision: Literal["fp32", "bf16"],
    band: float,
    striped_dataset: PackedDataset,
    tiny_config: MakeConfig,
) -> None:
    """One pass over real and fake together, fused updates and shared fakes change rounding alone."""
    config = tiny_config("dcgan", discriminator_norm=norm, augment_probability=0.0, conditional="no")
    assert isinstance(config, GanConfig)
    specs = network_specs(config, px=8, image_channels=1, classes=0)
    state = TrainingState.fresh(config, *specs, image_count=48, device=torch.device("cpu"))
    state.precision = precision
    generator, discriminator = copy.deepcopy(state.generator), copy.deepcopy(state.discriminator)
    assert discriminator is not None
    noise = torch.Generator()
    noise.set_state(state.noise.get_state())
    betas = (config.adam_beta1, config.adam_beta2)
    player_g = torch.optim.Adam(generator.parameters(), lr=config.learning_rate_generator, betas=betas)
    player_d = torch.optim.Adam(
        discriminator.parameters(), lr=config.learning_rate_discriminator, betas=betas
    )
    for step in range(STEPS):
        real = striped_dataset.images[8 * step : 8 * step + 8].float().div(127.5).sub(1)
        ours = adversarial_step(
            state, real, None, objective=choose_objective(config), config=config
        ).scalars()

        fake = generator(torch.randn(8, config.latent_size, generator=noise), None)
        discriminator.zero_grad()
        on_real = binary_cross_entropy(torch.sigmoid(discriminator(real, None)), torch.ones(8))
        torch.autograd.backward(on_real)
        on_fake = binary_cross_entropy(torch.sigmoid(discriminator(fake.detach(), None)), torch.zeros(8))
        torch.autograd.backward(on_fake)
        player_d.step()
        generator.zero_grad()
        fooled = binary_cross_entropy(torch.sigmoid(discriminator(fake, None)), torch.ones(8))
        torch.autograd.backward(fooled)
        player_g.step()

        assert ours["loss_discriminator"].item() == pytest.approx((on_real + on_fake).item(), rel=band)
        assert ours["loss_generator"].item() == pytest.approx(fooled.item(), rel=band)


def test_the_auxiliary_classifier_learns_from_real_images_alone(
    striped_dataset: PackedDataset, tiny_config: MakeConfig
) -> None:
    config = tiny_config("acgan", augment_probability=0.0, discriminator_norm="none")
    assert isinstance(config, GanConfig)
    specs = network_specs(config, px=8, image_channels=1, classes=2)
    state = TrainingState.fresh(config, *specs, image_count=48, device=torch.device("cpu"))
    real = striped_dataset.images[:8].float().div(127.5).sub(1)
    labels = torch.tensor([0, 1] * 4)
    before = copy.deepcopy(discriminator_of(state))
    learned, fresh = discriminator_of(state).classifier, before.classifier
    assert learned is not None
    assert fresh is not None

    made = adversarial_step(state, real, labels, objective=choose_objective(config), config=config).scalars()

    scores = before.score(real, labels)
    assert scores.class_logits is not None
    on_real = cross_entropy(scores.class_logits, labels)
    assert made["class_loss"].item() == pytest.approx(on_real.item(), rel=1e-5)
    [expected] = torch.autograd.grad(on_real, [fresh.weight])
    assert learned.weight.grad is not None
    assert torch.allclose(learned.weight.grad, expected, atol=1e-6)

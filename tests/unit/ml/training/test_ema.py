"""The moving average: half-life, ramp-up, buffers, and batch-norm statistics that fit it."""

import pytest
import torch
from torch import Tensor, nn

from ml.networks.build import build_generator
from ml.networks.spec import DcganGeneratorSpec
from ml.training.batch_statistics import with_fresh_statistics
from ml.training.ema import Ema, ema_beta


def test_weight_halves_each_half_life() -> None:
    beta = ema_beta(1000, batch_size=50, images_seen=10**6)
    assert beta**20 == pytest.approx(0.5)


def test_half_life_does_not_depend_on_batch_size() -> None:
    small = ema_beta(1000, batch_size=10, images_seen=10**6)
    assert small**10 == pytest.approx(ema_beta(1000, batch_size=100, images_seen=10**6))


def test_early_half_life_is_a_share_of_the_images_seen() -> None:
    assert ema_beta(1000, batch_size=64, images_seen=640) == pytest.approx(0.5**2)


def test_zero_half_life_copies() -> None:
    assert ema_beta(0, batch_size=64, images_seen=10**6) == 0.0


def test_update_moves_towards_the_module_by_the_half_life() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(module, halflife_kimg=1.0)
    nn.init.ones_(module.weight)
    for _ in range(10):
        ema.update(module, batch_size=100, images_seen=10**6)
    averaged = ema.module.weight
    assert isinstance(averaged, Tensor)
    assert averaged.item() == pytest.approx(0.5)
    assert module.weight.item() == 1.0


def test_buffers_are_copied() -> None:
    module = nn.BatchNorm1d(2)
    ema = Ema(module, halflife_kimg=1.0)
    module(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    ema.update(module, batch_size=1, images_seen=10**6)
    assert ema.module.get_buffer("running_mean").tolist() == pytest.approx([0.2, 0.4])


@pytest.fixture
def generator() -> nn.Module:
    torch.manual_seed(1)
    spec = DcganGeneratorSpec(px=8, image_channels=1, classes=2, latent_size=4, channels=4)
    return build_generator(spec)


def test_fresh_statistics_make_eval_mode_agree_with_training_mode(generator: nn.Module) -> None:
    z = torch.randn(512, 4, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(512) % 2
    stale = generator.eval()(z, labels).std()
    fresh = with_fresh_statistics(generator, latent_size=4, classes=2, image_count=2048, seed=5)
    with torch.no_grad():
        wanted, got = generator.train()(z, labels), fresh(z, labels)
    assert (got - wanted).abs().mean() < 0.1 * wanted.std()
    assert stale < 0.5 * wanted.std()


def test_fresh_statistics_depend_on_the_seed_alone(generator: nn.Module) -> None:
    def statistics(seed: int) -> Tensor:
        copy = with_fresh_statistics(generator, latent_size=4, classes=2, image_count=128, seed=seed)
        return torch.cat([value for name, value in copy.named_buffers() if "running_mean" in name])

    before = torch.random.get_rng_state()
    first, _ = statistics(1), torch.rand(1)
    assert torch.equal(first, statistics(1))
    assert not torch.equal(first, statistics(2))
    torch.random.set_rng_state(before)


def test_fresh_statistics_leave_the_original_alone(generator: nn.Module) -> None:
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    with_fresh_statistics(generator, latent_size=4, classes=2, image_count=64, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())

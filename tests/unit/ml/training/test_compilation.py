"""Which networks are compiled, and that they learn the same."""

from collections.abc import Callable
from functools import partialmethod

import pytest
import torch

from ml.catalog import RecipeConfig
from ml.data.packed import PackedDataset
from ml.networks.spec import network_specs
from ml.training.compilation import compile_networks
from ml.training.state import TrainingState
from ml.training.steps.choose import choose_step

MakeConfig = Callable[..., RecipeConfig]


def state_of(config: RecipeConfig) -> TrainingState:
    specs = network_specs(config, px=8, image_channels=1, classes=0)
    return TrainingState.fresh(config, *specs, image_count=48, device=torch.device("cpu"))


def test_processors_and_deterministic_runs_are_left_alone(tiny_config: MakeConfig) -> None:
    config = tiny_config("mlp-gan")
    assert compile_networks(state_of(config), config) == []
    exact = tiny_config("mlp-gan", deterministic=True)
    assert compile_networks(state_of(exact), exact, wanted=True) == []


def test_a_penalised_discriminator_is_not_compiled(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which, not how: the compiler itself takes long to load.
    asked: list[torch.nn.Module] = []

    def remember(module: torch.nn.Module) -> None:
        asked.append(module)

    monkeypatch.setattr(torch.nn.Module, "compile", remember)
    config = tiny_config("wgan-gp")
    assert compile_networks(state_of(config), config, wanted=True) == ["generator"]
    plain = tiny_config("dcgan")
    state = state_of(plain)
    names = set(state.tensors())
    assert compile_networks(state, plain, wanted=True) == ["generator", "discriminator"]
    assert set(state.tensors()) == names
    assert state.discriminator is not None
    assert asked[1:] == [state.generator, state.discriminator.features]


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # the tracer looks at it
@pytest.mark.parametrize("recipe", ["dcgan", "mlp-gan"])
def test_traced_networks_train_as_plain_ones(
    recipe: str, striped_dataset: PackedDataset, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing and splitting into forward and backward, which is where meaning can get lost; no kernels are built."""
    whole = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(whole, backend="aot_eager"))
    config = tiny_config(recipe, conditional="no")
    plain, traced = state_of(config), state_of(config)
    assert compile_networks(traced, config, wanted=True)
    take_step = choose_step(config)
    for first in range(0, 24, 8):
        real = striped_dataset.images[first : first + 8].float().div(127.5).sub(1)
        ours, theirs = (take_step(state, real, None).scalars() for state in (traced, plain))
        for name, value in theirs.items():
            assert ours[name].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-4), name
    for (name, weight), other in zip(
        traced.generator.state_dict().items(), plain.generator.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(weight, other, rtol=1e-2, atol=1e-3, msg=name)

"""Which networks are compiled, and which are not."""

from collections.abc import Callable

import pytest
import torch

from ml.catalog import RecipeConfig
from ml.compilation import compile_networks
from ml.networks.spec import network_specs
from ml.state import TrainingState

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

"""The evidence bound against values by hand, and that an ordinary run looks healthy."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ml.catalog import RecipeConfig
from ml.data.packed import PackedDataset
from ml.hooks import Hooks
from ml.networks.encoder import LOG_VARIANCE_LIMIT, split_code
from ml.train import train
from ml.training.steps.vae import draw_code, gaussian_divergence, squared_error

MakeConfig = Callable[..., RecipeConfig]


def test_divergence_by_hand() -> None:
    """N(0, 1) is the prior itself; N(2, 1) is 1/2 * 4 away, N(0, e) is 1/2 (e - 2)."""
    mean = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    log_variance = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    expected = [0.0, 2.0, (math.e - 2) / 2]
    assert gaussian_divergence(mean, log_variance).tolist() == pytest.approx(expected)


def test_squared_error_by_hand() -> None:
    """(0.3^2 + 0.4^2) / (2 * 0.5^2) for one image, nothing for an exact one."""
    images = torch.tensor([[[[0.3, 0.0]]], [[[1.0, 1.0]]]])
    targets = torch.tensor([[[[0.0, 0.4]]], [[[1.0, 1.0]]]])
    assert squared_error(images, targets, deviation=0.5).tolist() == pytest.approx([0.5, 0.0])


def test_codes_have_the_mean_and_width_they_are_told() -> None:
    mean, log_variance = torch.full((4000, 1), 3.0), torch.full((4000, 1), math.log(0.25))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    codes = draw_code(mean, log_variance, noise)
    assert codes.mean().item() == pytest.approx(3.0, abs=0.03)
    assert codes.std().item() == pytest.approx(0.5, rel=0.05)


def test_absurd_variances_are_limited() -> None:
    _, log_variance = split_code(torch.tensor([[0.0, 1e6]]))
    assert log_variance.item() == LOG_VARIANCE_LIMIT


@pytest.mark.parametrize("recipe", ["vae", "vae-gan"])
def test_autoencoders_learn_and_look_healthy(
    recipe: str, striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    events: list[str] = []
    measure = "reconstruction" if recipe == "vae" else "divergence"
    figures: list[float] = []
    hooks = Hooks(
        on_event=lambda kind, data: events.append(f"{kind} {data.get('code', '')}"),
        on_progress=lambda progress: figures.append(progress.metrics[measure]),
    )
    config = tiny_config(recipe, kimg=1.6, batch_size=16, tick_seconds=0, health_kimg=0.16)
    train(striped_dataset, config, recipe=recipe, out=tmp_path, hooks=hooks)
    assert not [kind for kind in events if kind.startswith("health")]
    assert all(math.isfinite(figure) for figure in figures)
    if recipe == "vae":
        assert figures[-1] < 0.7 * figures[0]

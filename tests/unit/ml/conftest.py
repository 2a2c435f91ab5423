"""Tiny data sets and settings, so that every test trains in well under a second."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from ml.catalog import RecipeConfig, get_recipe, parse_config
from ml.data.packed import PackedDataset

_TINY_NETWORKS: dict[str, object] = {
    "generator_widths": [16, 16],
    "discriminator_widths": [16],
    "generator_channels": 4,
    "discriminator_channels": 4,
}
_TINY_AUTOENCODER: dict[str, object] = {"encoder_widths": [16], "encoder_channels": 4}


def tiny_networks(recipe: str) -> dict[str, object]:
    """Settings that make all networks of a recipe as small as they get."""
    known = get_recipe(recipe).config_type.model_fields
    return {name: value for name, value in (_TINY_NETWORKS | _TINY_AUTOENCODER).items() if name in known}


@contextmanager
def _on_one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from more threads, and other tests may run beside these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def one_thread_in_shared_fixtures() -> Iterator[None]:
    with _on_one_thread():
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Again for each test: the command line takes all cores."""
    with _on_one_thread():
        yield


@pytest.fixture
def tiny_config() -> Callable[..., RecipeConfig]:
    """Make a config of a recipe with tiny networks: 0.064 kimg in batches of 8, no grids on the way."""

    def make(recipe: str, **settings: Any) -> RecipeConfig:
        base = {"kimg": 0.064, "batch_size": 8, "latent_size": 8, "grid_seconds": 0.0, "precision": "fp32"}
        return parse_config(recipe, {**base, **tiny_networks(recipe), **settings})

    return make


def stripes(count: int) -> PackedDataset:
    """Images of 8 px in two classes that a network can tell apart: bright rows or bright columns."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 64, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    images[labels == 0, :, ::2, :] += 180
    images[labels == 1, :, :, ::2] += 180
    return PackedDataset.create(name="stripes", images=images, labels=labels, classes=["rows", "columns"])


@pytest.fixture
def striped_dataset() -> PackedDataset:
    """48 images: too few to hold any out, and to measure samples by."""
    return stripes(48)


@pytest.fixture
def split_stripes() -> PackedDataset:
    """160 images: with `holdout=0.4`, more than 50 on each side."""
    return stripes(160)

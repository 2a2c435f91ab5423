from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ml.catalog import parse_config
from ml.data.packed import PackedDataset
from ml.train import train
from tests.integration.runner.driver import StartRunner, start_runner_in
from tests.integration.runner.nursery import Nursery
from tests.integration.runner.training_setup import TINY_CONFIG


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """A process that has loaded what all runners load."""
    with Nursery(tmp_path_factory.mktemp("nursery")) as started:
        yield started


@pytest.fixture
def warm_runner(nursery: Nursery) -> StartRunner:
    """Start runners that need not load their libraries any more."""
    return start_runner_in(nursery)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 grey images of 8 px in 3 classes, as packed files."""
    random = torch.Generator().manual_seed(1)
    dataset = PackedDataset.create(
        name="tiny",
        images=torch.randint(0, 256, (96, 1, 8, 8), dtype=torch.uint8, generator=random),
        labels=torch.arange(96) % 3,
        classes=["cat", "dog", "3"],
    )
    folder = tmp_path_factory.mktemp("packed")
    dataset.save(folder)
    return folder


@pytest.fixture(scope="session")
def snapshot(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of a generator that was hardly trained: it makes noise, but reproducible noise."""
    result = train(
        PackedDataset.load(packed),
        parse_config("mlp-gan", TINY_CONFIG),
        recipe="mlp-gan",
        out=tmp_path_factory.mktemp("training"),
    )
    assert result.snapshot is not None
    return result.snapshot


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """900 images of 8 px in the classes of the snapshot: enough to hold some 90 out."""
    random = torch.Generator().manual_seed(1)
    dataset = PackedDataset.create(
        name="many",
        images=torch.randint(0, 256, (900, 1, 8, 8), dtype=torch.uint8, generator=random),
        labels=torch.arange(900) % 3,
        classes=["cat", "dog", "3"],
    )
    folder = tmp_path_factory.mktemp("many")
    dataset.save(folder)
    return folder

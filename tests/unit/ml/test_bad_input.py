"""What nobody should train on, and settings that cannot work: a clear refusal, or a sane run."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from ml.catalog import RecipeConfig, parse_config
from ml.data.packed import PackedDataset
from ml.errors import InvalidDatasetError, NonFiniteLossError
from ml.hooks import Hooks
from ml.sample import Sampler
from ml.train import train

MakeConfig = Callable[..., RecipeConfig]


def noise(count: int) -> PackedDataset:
    rng = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=rng, dtype=torch.uint8)
    return PackedDataset.create(name="noise", images=images)


@pytest.mark.parametrize("recipe", ["dcgan", "few-shot", "auto"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_handful_of_images_is_refused(recipe: str, count: int, tmp_path: Path) -> None:
    config = parse_config(recipe, {"batch_size": 64})
    with pytest.raises(InvalidDatasetError, match=f"at least 16 images; there are {count}") as caught:
        train(noise(count), config, recipe=recipe, out=tmp_path)
    assert caught.value.code == "dataset.unsuitable"


def test_equal_images_are_refused(tiny_config: MakeConfig, tmp_path: Path) -> None:
    data = PackedDataset.create(name="grey", images=torch.full((20, 1, 8, 8), 9, dtype=torch.uint8))
    with pytest.raises(InvalidDatasetError, match="All 20 images are equal") as caught:
        train(data, tiny_config("dcgan"), recipe="dcgan", out=tmp_path)
    assert caught.value.code == "dataset.all_equal"


def test_a_batch_larger_than_the_data_takes_images_several_times(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config("mlp-gan", batch_size=64, kimg=0.128)
    assert train(noise(20), config, recipe="mlp-gan", out=tmp_path).images_seen == 128


@pytest.mark.parametrize("budget", [{"kimg": 0}, {"kimg": -1}, {"max_seconds": 0}, {"kimg": float("nan")}])
def test_a_budget_of_nothing_is_refused(budget: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(budget))):
        parse_config("dcgan", budget)


def test_a_budget_below_one_batch_is_refused() -> None:
    with pytest.raises(ValidationError, match="less than one batch of 64"):
        parse_config("dcgan", {"kimg": 0.01, "batch_size": 64})


def test_a_rate_that_breaks_training_is_reported_without_a_snapshot(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """An infinite weight from the first step on, as a far too large rate leaves behind."""
    config = tiny_config("dcgan", health_kimg=0.008).model_copy(update={"learning_rate_generator": 1e38})
    with pytest.raises(NonFiniteLossError, match="Lower the learning rates") as caught:
        train(striped_dataset, config, recipe="dcgan", out=tmp_path)
    assert caught.value.code == "training.non_finite_loss"
    assert not (tmp_path / "snapshot").exists()


def test_a_class_without_images_is_named_and_trained_around(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    assert striped_dataset.labels is not None
    data = PackedDataset.create(
        name="holes",
        images=striped_dataset.images,
        labels=striped_dataset.labels * 2,
        classes=["rows", "none", "columns"],
    )
    warnings: list[Mapping[str, object]] = []
    hooks = Hooks(on_event=lambda kind, told: warnings.append(told) if kind == "data_warning" else None)
    train(data, tiny_config("dcgan"), recipe="dcgan", out=tmp_path, hooks=hooks)
    assert "empty_class" in [warning["code"] for warning in warnings]
    assert Sampler.load(tmp_path / "snapshot").classes == ("rows", "none", "columns")

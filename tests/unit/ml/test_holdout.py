"""What is held out is never trained on, is written down, and is what an evaluation measures against."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ml.catalog import RecipeConfig
from ml.data.packed import PackedDataset
from ml.data.split import default_holdout, split_dataset
from ml.errors import InvalidCheckpointError, InvalidDatasetError
from ml.evaluate import evaluate
from ml.hooks import Hooks
from ml.train import train
from ml.training.run import Run

MakeConfig = Callable[..., RecipeConfig]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """Every image that a training step is given, as 8-bit pixels."""
    seen: set[bytes] = set()
    step = Run.step

    def watched(run: Run) -> None:
        take = run.take_step

        def remember(state: object, real_images: Tensor, labels: Tensor | None) -> object:
            pixels = real_images.add(1).mul(127.5).round().to(torch.uint8)
            seen.update(image.numpy().tobytes() for image in pixels)
            return take(state, real_images, labels)  # type: ignore[arg-type]  # handed through

        run.take_step = remember  # type: ignore[assignment]  # a wider type for what is handed through
        step(run)
        run.take_step = take

    monkeypatch.setattr(Run, "step", watched)
    return seen


def pixels_of(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


@pytest.mark.parametrize("is_own", [False, True])
def test_training_shows_the_training_side_and_all_of_it(
    is_own: bool, split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path, shown: set[bytes]
) -> None:
    if is_own:
        split_stripes = PackedDataset.create(
            name="stripes",
            images=split_stripes.images,
            labels=split_stripes.labels,
            classes=split_stripes.classes,
            held_out=torch.arange(160) < 60,
        )
    events: dict[str, Mapping[str, object]] = {}
    hooks = Hooks(on_event=events.__setitem__)
    config = tiny_config("mlp-gan", holdout=0.4, kimg=0.16)
    result = train(split_stripes, config, recipe="mlp-gan", out=tmp_path, hooks=hooks)
    split = split_dataset(split_stripes, holdout=0.4)
    assert shown == pixels_of(split_stripes.images[split.train])
    assert shown.isdisjoint(pixels_of(split_stripes.images[split.test]))
    assert events["data_split"]["held_out"] == len(split.test) > 50
    assert str(events["data_split"]["message"]).startswith(f"{len(split.test)} of 160 images are held out")
    document = json.loads((tmp_path / "snapshot/snapshot.json").read_text())
    assert document["holdout"] == result.holdout
    assert document["config"]["holdout"] == split.holdout == result.holdout["share"]


def test_an_evaluation_measures_against_what_was_held_out(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    split_stripes = PackedDataset.create(name="unlabelled", images=split_stripes.images)
    config = tiny_config("mlp-gan", holdout=0.4)
    train(split_stripes, config, recipe="mlp-gan", out=tmp_path)
    report = evaluate(tmp_path / "snapshot", split_stripes)
    split = split_dataset(split_stripes, holdout=0.4)
    assert (report.split.train, report.split.test) == (len(split.train), len(split.test))
    assert report.split.seen_in_training is False


def test_left_open_it_follows_the_size_of_the_data() -> None:
    def noise(count: int) -> PackedDataset:
        images = torch.randint(0, 256, (count, 1, 2, 2), dtype=torch.uint8)
        return PackedDataset.create(name="noise", images=images)

    assert default_holdout(noise(499)) == 0.0
    assert default_holdout(noise(500)) == 0.1


def test_nothing_held_out_is_said(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    events: dict[str, Mapping[str, object]] = {}
    hooks = Hooks(on_event=events.__setitem__)
    train(striped_dataset, tiny_config("mlp-gan"), recipe="mlp-gan", out=tmp_path, hooks=hooks)
    assert events["data_split"]["held_out"] == 0
    assert "No images are held out" in str(events["data_split"]["message"])


def test_too_little_left_is_refused_with_the_reason(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config("dcgan", holdout=0.9)
    with pytest.raises(InvalidDatasetError, match=r"at least 16 images.* of 48 images are held out"):
        train(striped_dataset, config, recipe="dcgan", out=tmp_path)


def test_another_share_is_another_run(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    first = train(split_stripes, tiny_config("mlp-gan", holdout=0.4), recipe="mlp-gan", out=tmp_path)
    with pytest.raises(InvalidCheckpointError, match="holdout differ"):
        train(
            split_stripes,
            tiny_config("mlp-gan", holdout=0.2),
            recipe="mlp-gan",
            out=tmp_path,
            resume=first.checkpoint,
        )

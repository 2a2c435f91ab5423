"""The loop: what it leaves behind, when it tells whom, how it stops. And promise R1: resume is exact."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ml.catalog import RecipeConfig
from ml.checkpoint import weights_sha256
from ml.codecs.png import read_provenance
from ml.codecs.provenance import Provenance
from ml.data.packed import PackedDataset
from ml.errors import InvalidCheckpointError, InvalidDatasetError, NonFiniteLossError
from ml.files import sha256_of_file
from ml.sample import SampleItem, Sampler
from ml.train import Hooks, Progress, Stop, train
from ml.training.steps.gan import adversarial_step

MakeConfig = Callable[..., RecipeConfig]


def stop_after(steps: int, how: Stop = Stop.CHECKPOINT) -> Hooks:
    """Let a run make so many steps, then stop it."""
    left = iter(range(steps))
    return Hooks(should_stop=lambda: how if next(left, None) is None else None)


@pytest.mark.parametrize("recipe", ["mlp-gan", "dcgan"])
def test_finished_run_leaves_everything(
    recipe: str, striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    result = train(
        striped_dataset,
        tiny_config(recipe),
        recipe=recipe,
        out=tmp_path / "run",
        provenance=Provenance(job="job-7"),
    )
    assert result.status == "finished"
    assert result.images_seen == 64
    assert result.snapshot == tmp_path / "run" / "snapshot"
    assert result.checkpoint == tmp_path / "run" / "checkpoints" / "000000064"
    assert result.grid is not None
    label = read_provenance(result.grid.read_bytes())
    assert label is not None
    assert label.job == "job-7"
    sampler = Sampler.load(result.snapshot)
    assert sampler.classes == ("rows", "columns")
    assert sampler.image_shape == (8, 8, 1)
    assert {"loss_discriminator", "loss_generator", "diversity"} <= result.metrics.keys()
    assert all(math.isfinite(value) for value in result.metrics.values())


def test_snapshot_says_where_it_comes_from(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config("dcgan")
    train(striped_dataset, config, recipe="dcgan", out=tmp_path)
    document = json.loads((tmp_path / "snapshot" / "snapshot.json").read_text())
    assert document["recipe"] == "dcgan"
    # What was left open is filled in: 48 images are too few to hold any out.
    assert document["config"] == config.model_dump(mode="json") | {"holdout": 0.0}
    assert document["images_seen"] == 64
    assert document["dataset"] == {
        "name": "stripes",
        "content_sha256": striped_dataset.content_sha256,
    }
    assert document["versions"]["torch"] == torch.__version__
    weights = tmp_path / "snapshot" / "snapshot.safetensors"
    assert document["files"][weights.name]["sha256"] == sha256_of_file(weights)


def test_unlabelled_data_and_unconditional_choice(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    unlabelled = PackedDataset.create(name="x", images=striped_dataset.images)
    train(unlabelled, tiny_config("dcgan"), recipe="dcgan", out=tmp_path / "a")
    train(striped_dataset, tiny_config("dcgan", conditional="no"), recipe="dcgan", out=tmp_path / "b")
    assert Sampler.load(tmp_path / "a" / "snapshot").classes == ()
    # The same images and seeds without labels: what was not learned cannot matter.
    assert weights_sha256(tmp_path / "a" / "snapshot") == weights_sha256(tmp_path / "b" / "snapshot")


@pytest.mark.parametrize("objective", ["non-saturating", "saturating"])
@pytest.mark.parametrize(
    "extras", [{"augment_probability": 0.5, "augment_flip": True}, {"precision": "bf16"}]
)
def test_colour_and_every_switch(
    objective: str, extras: dict[str, Any], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    images = torch.randint(0, 256, (20, 3, 12, 12), dtype=torch.uint8)
    data = PackedDataset.create(name="noise", images=images)
    config = tiny_config("dcgan", objective=objective, **extras)
    result = train(data, config, recipe="dcgan", out=tmp_path)
    assert result.status == "finished"
    assert Sampler.load(tmp_path / "snapshot").image_shape == (12, 12, 3)


@pytest.mark.parametrize(("px", "channels"), [(8, 2), (128, 4)])
def test_smallest_and_largest_images_with_alpha(
    px: int, channels: int, tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.training.snapshots.SNAPSHOT_STATISTICS_IMAGES", 64)
    images = torch.randint(0, 256, (16, channels, px, px), dtype=torch.uint8)
    data = PackedDataset.create(name="noise", images=images)
    result = train(data, tiny_config("dcgan", kimg=0.016), recipe="dcgan", out=tmp_path)
    assert Sampler.load(tmp_path / "snapshot").image_shape == (px, px, channels)
    assert result.grid is not None
    with Image.open(result.grid) as grid:
        assert grid.mode == {2: "LA", 4: "RGBA"}[channels]


def test_training_learns_the_classes(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """After a second, rows are brighter along rows and columns along columns in nearly every sample."""
    config = tiny_config(
        "mlp-gan",
        kimg=20,
        batch_size=32,
        learning_rate_generator=1e-3,
        learning_rate_discriminator=1e-3,
        ema_halflife_kimg=0.5,
    )
    train(striped_dataset, config, recipe="mlp-gan", out=tmp_path)
    sampler = Sampler.load(tmp_path / "snapshot")
    right = 0
    for position, image in sampler.sample([SampleItem(1, i, i % 2) for i in range(40)]):
        pixels = image[:, :, 0].astype(float)
        row_contrast = pixels[::2].mean() - pixels[1::2].mean()
        column_contrast = pixels[:, ::2].mean() - pixels[:, 1::2].mean()
        right += (row_contrast > column_contrast) == (position % 2 == 0)
    assert right >= 36


def test_progress_events_and_metrics_file(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    told: list[Progress] = []
    events: list[tuple[str, Mapping[str, object]]] = []
    hooks = Hooks(on_progress=told.append, on_event=lambda kind, data: events.append((kind, data)))
    train(
        striped_dataset, tiny_config("mlp-gan", tick_seconds=0), recipe="mlp-gan", out=tmp_path, hooks=hooks
    )
    assert [progress.images_seen for progress in told] == [*range(8, 65, 8), 64]
    assert all(progress.total_images == 64 for progress in told)
    assert all(progress.images_per_second > 0 for progress in told[:-1])
    assert told[-2].eta_seconds == 0
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [progress.images_seen for progress in told]
    assert lines[3]["loss_generator"] == told[3].metrics["loss_generator"]
    assert [kind for kind, _ in events] == [
        "data_profile",
        "data_warning",
        "data_split",
        "started",
        "finished",
    ]
    assert events[0][1]["distinct"] == 48
    assert events[1][1]["code"] == "few_images"
    assert events[2][1]["held_out"] == 0
    assert events[3][1]["precision"] == "fp32"


def test_grids_on_the_way(striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path) -> None:
    grids: list[tuple[Path, int]] = []
    hooks = Hooks(on_grid=lambda path, seen: grids.append((path, seen)))
    config = tiny_config("mlp-gan", grid_seconds=1e-9)
    result = train(striped_dataset, config, recipe="mlp-gan", out=tmp_path, hooks=hooks)
    assert [seen for _, seen in grids] == [*range(8, 65, 8), 64]
    assert all(path.is_file() and read_provenance(path.read_bytes()) for path, _ in grids)
    assert result.grid == tmp_path / "grid.png"


def test_checkpoints_by_the_clock_keep_the_newest_two(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    written: list[int] = []

    def on_checkpoint(folder: Path, images_seen: int) -> None:
        assert (folder / "state.json").is_file()
        written.append(images_seen)

    train(
        striped_dataset,
        tiny_config("mlp-gan"),
        recipe="mlp-gan",
        out=tmp_path,
        hooks=Hooks(on_checkpoint=on_checkpoint),
        checkpoint_seconds=0,
    )
    assert written == [*range(8, 65, 8), 64]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["000000056", "000000064"]


def test_stop_with_a_checkpoint(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    result = train(striped_dataset, tiny_config("dcgan"), recipe="dcgan", out=tmp_path, hooks=stop_after(3))
    assert (result.status, result.images_seen, result.snapshot) == ("stopped", 24, None)
    assert result.checkpoint == tmp_path / "checkpoints" / "000000024"
    assert not (tmp_path / "snapshot").exists()


def test_abort_writes_nothing_more(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    hooks = stop_after(3, Stop.ABORT)
    result = train(striped_dataset, tiny_config("dcgan"), recipe="dcgan", out=tmp_path, hooks=hooks)
    assert (result.status, result.images_seen, result.checkpoint) == ("stopped", 24, None)
    assert list(tmp_path.iterdir()) == []


def test_time_budget_ends_the_run(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config("mlp-gan", kimg=1000, max_seconds=0.2)
    result = train(striped_dataset, config, recipe="mlp-gan", out=tmp_path)
    assert result.status == "finished"
    assert 0 < result.images_seen < 1_000_000
    assert result.snapshot is not None


def test_broken_training_is_reported_and_not_saved(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(*args: Any, **kwargs: Any) -> Any:
        statistics = adversarial_step(*args, **kwargs)
        return replace(statistics, loss_generator=statistics.loss_generator * math.nan)

    monkeypatch.setattr("ml.training.steps.choose.adversarial_step", poisoned)
    with pytest.raises(NonFiniteLossError, match="loss_generator became NaN") as caught:
        train(striped_dataset, tiny_config("dcgan"), recipe="dcgan", out=tmp_path, checkpoint_seconds=0)
    assert caught.value.code == "training.non_finite_loss"
    assert not (tmp_path / "checkpoints").exists()


def test_unsuitable_data_is_refused_in_a_sentence(tiny_config: MakeConfig, tmp_path: Path) -> None:
    data = PackedDataset.create(name="few", images=torch.zeros(3, 1, 8, 10, dtype=torch.uint8))
    with pytest.raises(InvalidDatasetError, match=r"square.*at least 16"):
        train(data, tiny_config("dcgan"), recipe="dcgan", out=tmp_path)


@pytest.fixture(params=["mlp-gan", "dcgan"])
def recipe(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def exact_config(recipe: str, tiny_config: MakeConfig) -> Callable[..., RecipeConfig]:
    """Deterministic, with augmentation, so that every random stream is in use."""

    def make(**settings: Any) -> RecipeConfig:
        base = {"deterministic": True, "augment_probability": 0.5, "augment_flip": True, "seed": 11}
        return tiny_config(recipe, **{**base, **settings})

    return make


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in folder.iterdir() if path.suffix == ".safetensors"}


@pytest.mark.parametrize("stops", [[1], [3], [3, 2], [1, 1, 1, 1, 1, 1, 1]])
def test_stopped_and_resumed_equals_never_stopped(
    recipe: str,
    exact_config: MakeConfig,
    striped_dataset: PackedDataset,
    tmp_path: Path,
    stops: list[int],
) -> None:
    whole = train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path / "whole")
    checkpoint = None
    for part, steps in enumerate(stops):
        torch.manual_seed(part)  # whatever else happened in the process must not matter
        stopped = train(
            striped_dataset,
            exact_config(),
            recipe=recipe,
            out=tmp_path / f"part{part}",
            hooks=stop_after(steps),
            resume=checkpoint,
        )
        assert stopped.status == "stopped"
        checkpoint = stopped.checkpoint
    resumed = train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path / "last", resume=checkpoint)
    assert resumed.images_seen == whole.images_seen
    for folder, other in ((whole.snapshot, resumed.snapshot), (whole.checkpoint, resumed.checkpoint)):
        assert folder is not None
        assert other is not None
        assert weights_sha256(folder) == weights_sha256(other)
        # Not only the weights: optimisers, random streams and the sampler's place, byte for byte.
        assert files_of(folder) == files_of(other)
    assert (tmp_path / "whole/grid.png").read_bytes() == (tmp_path / "last/grid.png").read_bytes()


def test_reports_grids_and_checkpoints_do_not_change_the_weights(
    recipe: str, exact_config: MakeConfig, striped_dataset: PackedDataset, tmp_path: Path
) -> None:
    quiet = exact_config(tick_seconds=600, grid_seconds=0)
    busy = exact_config(tick_seconds=0, grid_seconds=1e-9)
    train(striped_dataset, quiet, recipe=recipe, out=tmp_path / "quiet")
    train(striped_dataset, busy, recipe=recipe, out=tmp_path / "busy", checkpoint_seconds=0)
    for part in ("snapshot", "checkpoints/000000064"):
        assert weights_sha256(tmp_path / "quiet" / part) == weights_sha256(tmp_path / "busy" / part)


def test_threads_of_the_machine_do_not_change_the_weights(
    recipe: str, exact_config: MakeConfig, striped_dataset: PackedDataset, tmp_path: Path
) -> None:
    train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path / "one")
    torch.set_num_threads(2)
    train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path / "two")
    assert torch.get_num_threads() == 2
    assert weights_sha256(tmp_path / "one/snapshot") == weights_sha256(tmp_path / "two/snapshot")


def test_seed_changes_the_weights(
    recipe: str, exact_config: MakeConfig, striped_dataset: PackedDataset, tmp_path: Path
) -> None:
    train(striped_dataset, exact_config(seed=1), recipe=recipe, out=tmp_path / "one")
    train(striped_dataset, exact_config(seed=2), recipe=recipe, out=tmp_path / "two")
    assert weights_sha256(tmp_path / "one/snapshot") != weights_sha256(tmp_path / "two/snapshot")


def test_finished_run_can_be_resumed_to_train_longer(
    recipe: str, exact_config: MakeConfig, striped_dataset: PackedDataset, tmp_path: Path
) -> None:
    short = train(striped_dataset, exact_config(kimg=0.032), recipe=recipe, out=tmp_path / "run")
    longer = train(
        striped_dataset, exact_config(), recipe=recipe, out=tmp_path / "run", resume=short.checkpoint
    )
    train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path / "whole")
    assert longer.images_seen == 64
    assert weights_sha256(tmp_path / "run/snapshot") == weights_sha256(tmp_path / "whole/snapshot")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [32, 64]


def test_resuming_a_finished_run_writes_the_same_snapshot_again(
    recipe: str, exact_config: MakeConfig, striped_dataset: PackedDataset, tmp_path: Path
) -> None:
    first = train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path / "a")
    again = train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path / "b", resume=first.checkpoint)
    assert again.status == "finished"
    assert weights_sha256(tmp_path / "a/snapshot") == weights_sha256(tmp_path / "b/snapshot")


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 12}, "seed"), ({"batch_size": 4}, "batch_size"), ({"augment_flip": False}, "augment_flip")],
)
def test_resume_with_other_settings_is_refused(
    recipe: str,
    exact_config: MakeConfig,
    striped_dataset: PackedDataset,
    tmp_path: Path,
    changes: dict[str, object],
    named: str,
) -> None:
    stopped = train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path, hooks=stop_after(1))
    with pytest.raises(InvalidCheckpointError, match=f"another run: {named} differ") as caught:
        train(
            striped_dataset, exact_config(**changes), recipe=recipe, out=tmp_path, resume=stopped.checkpoint
        )
    assert caught.value.code == "checkpoint.other_run"


def test_resume_with_other_data_is_refused(
    recipe: str, exact_config: MakeConfig, striped_dataset: PackedDataset, tmp_path: Path
) -> None:
    stopped = train(striped_dataset, exact_config(), recipe=recipe, out=tmp_path, hooks=stop_after(1))
    other = PackedDataset.create(
        name="stripes",
        images=255 - striped_dataset.images,
        labels=striped_dataset.labels,
        classes=striped_dataset.classes,
    )
    with pytest.raises(InvalidCheckpointError, match="data set differ"):
        train(other, exact_config(), recipe=recipe, out=tmp_path, resume=stopped.checkpoint)

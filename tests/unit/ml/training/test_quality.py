"""The best snapshot by kernel distance, the plateau, and that measuring changes nothing else."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ml.catalog import RecipeConfig
from ml.checkpoint import load_snapshot, weights_sha256
from ml.codecs.provenance import Provenance
from ml.data.packed import PackedDataset
from ml.data.split import split_dataset
from ml.features.pixels import PixelExtractor
from ml.hooks import Hooks
from ml.metrics.kernel import unbiased_mmd2
from ml.train import train
from ml.training.best import BestSnapshot
from ml.training.plan import make_plan
from ml.training.quality import Quality
from ml.training.run import Run

MakeConfig = Callable[..., RecipeConfig]
Events = dict[str, Mapping[str, object]]
MEASURED: dict[str, Any] = {"holdout": 0.4, "kid_kimg": 0.016, "deterministic": True}


def listener() -> tuple[Events, Hooks]:
    """Hooks that remember the last event of each kind."""
    events: Events = {}
    return events, Hooks(on_event=events.__setitem__)


@pytest.fixture
def distances(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What measuring finds, one after the other; measuring the best again at the end finds the same."""
    given: list[float] = []

    def fake(quality: Quality) -> float:
        real(quality)  # what it does to random numbers stays
        return given.pop(0)

    real, distance_of = Quality._kernel_distance, Quality._distance_of
    monkeypatch.setattr(Quality, "_kernel_distance", fake)
    monkeypatch.setattr(
        Quality,
        "_distance_of",
        lambda quality, generator, reference, noise: (
            distance_of(quality, generator, reference, noise)
            if noise == "quality/noise"
            else quality._state.best.last_kid
            if generator is quality._state.ema.module
            else quality._state.best.best_kid
        ),
    )
    return given


def test_the_best_snapshot_is_published_and_not_the_last(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path, distances: list[float]
) -> None:
    distances += [0.5, 0.2, 0.4, 0.3]
    events, hooks = listener()
    config = tiny_config("dcgan", **MEASURED)
    result = train(split_stripes, config, recipe="dcgan", out=tmp_path / "all", hooks=hooks)
    assert result.snapshot is not None
    chosen = events["snapshot_chosen"]
    assert (chosen["images_seen"], chosen["kid"]) == (32, 0.2)
    assert (chosen["last_images_seen"], chosen["last_kid"], chosen["checks"]) == (64, 0.3, 4)
    assert chosen["measured_on"] == "held-out images"
    assert result.snapshot_chosen == chosen
    assert (result.images_seen, result.snapshot_images_seen) == (64, 32)
    assert result.metrics["kid"] == 0.3
    assert load_snapshot(result.snapshot).document.images_seen == 32
    # A run that ends there publishes the same weights.
    distances += [0.5, 0.2]
    short = tiny_config("dcgan", kimg=0.032, **MEASURED)
    train(split_stripes, short, recipe="dcgan", out=tmp_path / "short")
    published = [weights_sha256(tmp_path / part / "snapshot") for part in ("all", "short")]
    assert published[0] == published[1]


@pytest.mark.parametrize(("of_last", "published"), [(0.19, 64), (0.21, 32)])
def test_a_lucky_measurement_does_not_decide_the_end(
    of_last: float,
    published: int,
    split_stripes: PackedDataset,
    tiny_config: MakeConfig,
    tmp_path: Path,
    distances: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lowest distance of the run and the last are compared once more, on the same, larger samples."""
    distances += [0.5, 0.01, 0.4, 0.3]
    compared: list[int] = []

    def again(quality: Quality, generator: nn.Module, reference: Any, noise: str) -> float:
        if noise == "quality/noise":
            return 0.0  # the fixture says what the checks on the way find
        compared.append(len(reference.real))
        return of_last if generator is quality._state.ema.module else 0.2

    monkeypatch.setattr(Quality, "_distance_of", again)
    monkeypatch.setattr("ml.training.quality.SAMPLES", 8)
    monkeypatch.setattr("ml.training.quality.LEAST_SAMPLES", 8)
    events, hooks = listener()
    config = tiny_config("dcgan", **MEASURED)
    result = train(split_stripes, config, recipe="dcgan", out=tmp_path, hooks=hooks)
    chosen = events["snapshot_chosen"]
    assert result.snapshot_images_seen == chosen["images_seen"] == published
    assert (chosen["kid"], chosen["last_kid"]) == (min(of_last, 0.2), of_last)
    assert compared == [40, 40]
    assert chosen["n"] == 40


def test_metrics_lines_carry_the_last_distance(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path, distances: list[float]
) -> None:
    distances += [0.5, 0.2, 0.4, 0.3]
    config = tiny_config("mlp-gan", tick_seconds=0, **MEASURED)
    train(split_stripes, config, recipe="mlp-gan", out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("kid") for line in lines] == [None, 0.5, 0.5, 0.2, 0.2, 0.4, 0.4, 0.3, 0.3]


def test_measuring_does_not_change_the_training(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    for name, kid_kimg in (("with", 0.016), ("without", 0.0)):
        config = tiny_config("dcgan", **MEASURED | {"kid_kimg": kid_kimg})
        train(split_stripes, config, recipe="dcgan", out=tmp_path / name)
    hashes = {weights_sha256(tmp_path / name / "checkpoints/000000064") for name in ("with", "without")}
    assert len(hashes) == 1


def test_a_plateau_ends_the_run_and_stays_its_end(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path, distances: list[float]
) -> None:
    distances += [0.5, 0.2, 0.4, 0.3]
    events, hooks = listener()
    patient = {"early_stop_patience": 2, "kimg": 10}
    config = tiny_config("dcgan", **MEASURED, **patient)
    result = train(split_stripes, config, recipe="dcgan", out=tmp_path, hooks=hooks)
    assert (result.status, result.images_seen, result.snapshot_images_seen) == ("finished", 64, 32)
    assert events["early_stop"]["patience"] == 2
    again = train(split_stripes, config, recipe="dcgan", out=tmp_path / "again", resume=result.checkpoint)
    assert again.images_seen == 64
    # More patience is a longer budget: the run goes on from where it was.
    distances += [0.6, 0.7]
    longer = tiny_config("dcgan", **MEASURED, **patient | {"early_stop_patience": 4})
    on = train(split_stripes, longer, recipe="dcgan", out=tmp_path / "on", resume=result.checkpoint)
    assert (on.images_seen, on.snapshot_images_seen) == (96, 32)


def test_few_held_out_images_are_not_measured_on(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    events, hooks = listener()
    config = tiny_config("mlp-gan", **MEASURED | {"holdout": 0.05})
    train(split_stripes, config, recipe="mlp-gan", out=tmp_path, hooks=hooks)
    assert events["snapshot_chosen"]["measured_on"] == "training images"
    assert events["snapshot_chosen"]["floor"] is None


def test_the_distance_is_that_of_the_published_samples(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Measured again from the outside: the held-out images, the fitted features, the snapshot's own images."""
    events, hooks = listener()
    config = tiny_config("mlp-gan", **MEASURED)
    result = train(split_stripes, config, recipe="mlp-gan", out=tmp_path, hooks=hooks)
    assert result.snapshot is not None
    split = split_dataset(split_stripes, holdout=0.4)
    extractor = PixelExtractor.fit(split_stripes, split)
    held_out = split_stripes.images[split.test]
    generator = load_snapshot(result.snapshot).generator
    assert split_stripes.labels is not None
    labels = split_stripes.labels[split.test]
    z = torch.randn(len(labels), 8, generator=torch.Generator().manual_seed(1))
    images = generator(z, labels).mul(127.5).add(127.5).round().to(torch.uint8)
    measured = unbiased_mmd2(extractor.features(held_out), extractor.features(images))
    chosen = events["snapshot_chosen"]
    assert isinstance(chosen["kid"], float)
    assert isinstance(chosen["floor"], float)
    assert measured == pytest.approx(chosen["kid"], rel=0.2)  # other noise
    assert abs(chosen["floor"]) < 0.1 * chosen["kid"]


def test_a_broken_generator_is_never_the_best(
    split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Its weights would make every later training state one that loading refuses."""
    plan = make_plan(
        split_stripes,
        tiny_config("mlp-gan", **MEASURED),
        recipe="mlp-gan",
        out=tmp_path,
        hooks=Hooks(),
        resume=None,
        device=torch.device("cpu"),
        provenance=Provenance(),
    )
    run = Run.prepare(plan, checkpoint_seconds=600)
    with torch.no_grad():
        next(run.state.ema.module.parameters())[0] = torch.nan
    run.quality.measure()
    assert (run.state.best.checks, run.state.best.due_images) == (0, 16)
    kept = {name: value for name, value in run.state.tensors().items() if name.startswith("best.weights.")}
    assert kept
    assert all(bool(value.isfinite().all()) for value in kept.values())


def test_patience_needs_measurements(tiny_config: MakeConfig) -> None:
    with pytest.raises(ValidationError, match="early_stop_patience counts measurements"):
        tiny_config("dcgan", kid_kimg=0, early_stop_patience=3)


def test_best_snapshot_survives_its_tensors() -> None:
    module = nn.Linear(2, 2)
    best = BestSnapshot()
    for images, kid in ((10, 0.3), (20, -0.1), (30, 0.2)):
        with torch.no_grad():
            module.weight.fill_(images)
        best.note(kid, module, images_seen=images)
    best.due_images = 40
    restored = BestSnapshot()
    restored.restore(best.tensors())
    assert (restored.checks, restored.since_best, restored.due_images) == (3, 1, 40)
    assert (restored.best_kid, restored.best_images) == (-0.1, 20)
    assert (restored.last_kid, restored.last_images) == (0.2, 30)
    assert restored.weights["weight"].tolist() == [[20.0, 20.0], [20.0, 20.0]]

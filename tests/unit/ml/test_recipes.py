"""Every recipe trains, samples, and resumes exactly (promise R1); parts combine, or are refused with a reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from ml.catalog import RECIPES, GanConfig, RecipeConfig, parse_config
from ml.checkpoint import read_training_config, weights_sha256
from ml.data.packed import PackedDataset
from ml.errors import InvalidCheckpointError
from ml.files import sha256_of_file
from ml.sample import Sampler
from ml.train import Hooks, Stop, train
from ml.training.state import TrainingState

MakeConfig = Callable[..., RecipeConfig]
TRAINED = [name for name in RECIPES if name != "auto"]


def stop_after(steps: int) -> Hooks:
    left = iter(range(steps))
    return Hooks(should_stop=lambda: Stop.CHECKPOINT if next(left, None) is None else None)


def state_file(folder: Path | None) -> str:
    assert folder is not None
    return sha256_of_file(folder / "state.safetensors")


def train_in_parts(
    data: PackedDataset, config: RecipeConfig, recipe: str, out: Path, steps: list[int]
) -> tuple[Path | None, Path | None]:
    """(checkpoint of an unbroken run, checkpoint of one that was stopped after each number of steps)."""
    whole = train(data, config, recipe=recipe, out=out / "whole")
    checkpoint = None
    for part, count in enumerate(steps):
        torch.manual_seed(part)  # whatever else happened in the process must not matter
        stopped = train(
            data, config, recipe=recipe, out=out / f"{part}", hooks=stop_after(count), resume=checkpoint
        )
        checkpoint = stopped.checkpoint
    resumed = train(data, config, recipe=recipe, out=out / "last", resume=checkpoint)
    return whole.checkpoint, resumed.checkpoint


@pytest.mark.parametrize("recipe", TRAINED)
def test_every_recipe_resumes_exactly(
    recipe: str, split_stripes: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Networks, average, optimisers, random streams, health, the best snapshot: the same file, byte for byte."""
    watched = {"health_kimg": 0.016, "holdout": 0.4, "kid_kimg": 0.016}
    config = tiny_config(recipe, deterministic=True, augment_flip=True, seed=3, **watched)
    whole, resumed = train_in_parts(split_stripes, config, recipe, tmp_path, [3, 2])
    assert state_file(whole) == state_file(resumed)
    published = (weights_sha256(tmp_path / part / "snapshot") for part in ("whole", "last"))
    assert len(set(published)) == 1
    sampler = Sampler.load(tmp_path / "last" / "snapshot")
    assert sampler.image_shape == (8, 8, 1)
    assert sampler.classes == ("rows", "columns")


COMBINATIONS: list[dict[str, Any]] = [
    {"network": "resnet"},
    {"network": "resnet", "discriminator_norm": "spectral", "objective": "hinge"},
    {"network": "mlp", "discriminator_norm": "group", "generator_norm": "group", "r1_gamma": 1.0},
    {"network": "dcgan", "generator_norm": "none", "discriminator_norm": "none", "objective": "relativistic"},
    {"objective": "wasserstein", "discriminator_norm": "spectral", "class_conditioning": "auxiliary"},
    {"discriminator_norm": "group", "dragan_weight": 1.0, "dragan_interval": 4, "r1_interval": 2},
    {"l1_weight": 1e-4, "l2_weight": 1e-4, "weight_penalty_interval": 4, "discriminator_dropout": 0.3},
    {"discriminator_steps": 3, "learning_rate_final": 0.1, "reset_kimg": 0.024},
    {"precision": "bf16", "r1_gamma": 1.0, "r2_gamma": 1.0, "r1_interval": 2, "discriminator_norm": "none"},
    {"precision": "bf16", "discriminator_norm": "spectral", "gradient_penalty_weight": 1.0},
    {"augment_target": 0.3, "augment_adapt_kimg": 1.0},
]


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_parts_combine_and_resume_exactly(
    settings: dict[str, Any], striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    base = {"deterministic": True, "augment_probability": 0.5, "health_kimg": 0.016, "seed": 3}
    config = tiny_config("dcgan", **base, **settings)
    whole, resumed = train_in_parts(striped_dataset, config, "dcgan", tmp_path, [3])
    assert state_file(whole) == state_file(resumed)
    without = tiny_config("dcgan", **base)
    plain = train(striped_dataset, without, recipe="dcgan", out=tmp_path / "plain")
    assert plain.checkpoint is not None
    assert whole is not None
    assert weights_sha256(plain.checkpoint) != weights_sha256(whole)  # the settings do something


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"gradient_penalty_weight": 10.0}, "depend on the whole batch"),
        ({"r1_gamma": 1.0}, "depend on the whole batch"),
        ({"weight_clip": 0.01}, "only weakens the discriminator"),
        ({"objective": "wasserstein"}, "no lower bound"),
        (
            {"objective": "wasserstein", "weight_clip": 0.01, "discriminator_norm": "spectral"},
            "bound the same slope in two ways",
        ),
        ({"discriminator_norm": "none", "r1_gamma": 1.0, "dragan_weight": 1.0}, "drop one kind"),
        ({"class_conditioning": "auxiliary", "conditional": "no"}, "nothing to classify"),
        ({"objective": "least-squares", "augment_target": 0.6}, "not the border between real and fake"),
    ],
)
def test_impossible_combinations_are_refused_with_the_reason(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        parse_config("dcgan", settings)
    assert len(caught.value.errors()) == 1


def test_recipes_differ_in_defaults_only() -> None:
    """Any adversarial recipe becomes any other by its settings: they are names, not code."""
    adversarial = [name for name in TRAINED if type(parse_config(name, {})).__mro__[1] is GanConfig]
    assert len(adversarial) == 11
    for name in adversarial:
        settings = parse_config(name, {}).model_dump(mode="json")
        assert parse_config("dcgan", settings).model_dump() == parse_config(name, {}).model_dump()


def test_auto_resumes_what_it_chose(striped_dataset: PackedDataset, tmp_path: Path) -> None:
    """A run of `auto` is a run of what it chose, also when the resume asks for `auto` again."""
    config = parse_config(
        "auto", {"kimg": 0.064, "batch_size": 8, "deterministic": True, "grid_seconds": 0.0}
    )
    whole, resumed = train_in_parts(striped_dataset, config, "auto", tmp_path, [3])
    assert state_file(whole) == state_file(resumed)
    assert whole is not None
    assert read_training_config(whole)[0] == "few-shot"
    other = parse_config("auto", {"kimg": 0.064, "batch_size": 8, "deterministic": True, "seed": 5})
    with pytest.raises(InvalidCheckpointError, match="seed differ"):
        train(striped_dataset, other, recipe="auto", out=tmp_path, resume=whole)


def test_a_schedule_refuses_another_budget_on_resume(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """The learning rate at an image depends on kimg, so another kimg would be another run."""
    short = train(striped_dataset, tiny_config("rpgan"), recipe="rpgan", out=tmp_path, hooks=stop_after(2))
    with pytest.raises(InvalidCheckpointError, match="kimg differ"):
        train(
            striped_dataset,
            tiny_config("rpgan", kimg=0.128),
            recipe="rpgan",
            out=tmp_path,
            resume=short.checkpoint,
        )


def test_the_generator_waits_its_turn(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five critic steps for each of the generator (Gulrajani et al., algorithm 1): 8 steps hold one."""
    steps: list[float] = []

    def remember(self: TrainingState) -> dict[str, torch.Tensor]:
        named = tensors(self)
        steps.append(named["optimizer_generator.start.noise.weight.step"].item())
        steps.append(named["optimizer_discriminator.head.score.weight.step"].item())
        return named

    tensors = TrainingState.tensors
    monkeypatch.setattr(TrainingState, "tensors", remember)
    train(striped_dataset, tiny_config("wgan-gp", discriminator_steps=5), recipe="wgan-gp", out=tmp_path)
    assert steps == [1.0, 8.0]

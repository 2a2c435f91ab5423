"""What the health checks find, what they do about it, and that a resumed run does the same."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from ml.catalog import RecipeConfig
from ml.data.packed import PackedDataset
from ml.errors import NonFiniteLossError
from ml.files import sha256_of_file
from ml.hooks import Hooks, Stop
from ml.networks.spec import network_specs
from ml.train import train
from ml.training.health import Health, Verdict
from ml.training.learning_rates import apply_learning_rates
from ml.training.state import TrainingState
from ml.training.steps.gan import adversarial_step

MakeConfig = Callable[..., RecipeConfig]
Event = tuple[str, Mapping[str, Any]]
WELL = {"loss_discriminator": 1.0, "diversity": 0.8}


def fresh(config: RecipeConfig) -> TrainingState:
    specs = network_specs(config, px=8, image_channels=1, classes=0)
    return TrainingState.fresh(config, *specs, image_count=20, device=torch.device("cpu"))


def weights(state: TrainingState) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.generator.state_dict().items()}


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def health(tiny_config: MakeConfig, events: list[Event]) -> Health:
    return Health(tiny_config("dcgan"), Hooks(on_event=lambda kind, data: events.append((kind, data))))


def test_well_runs_are_left_alone_and_remembered(health: Health, events: list[Event]) -> None:
    state = fresh(health.config)
    state.images_seen = 32
    with torch.no_grad():
        state.generator.start.noise.weight.fill_(0.5)  # type: ignore[union-attr, operator]  # a module's attributes
    assert health.check(state, WELL, []).verdict is Verdict.OK
    assert events == []
    assert (state.good["generator.start.noise.weight"] == 0.5).all()
    assert state.health.good_images_seen == 32


@pytest.mark.parametrize("broken", ["weights", "statistics"])
def test_non_finite_runs_go_back(broken: str, health: Health, events: list[Event]) -> None:
    state = fresh(health.config)
    before, noise = weights(state), state.noise.get_state()
    with torch.no_grad():
        state.generator.start.noise.weight.add_(math.nan if broken == "weights" else 1.0)  # type: ignore[union-attr, operator]  # as above
    non_finite = [] if broken == "weights" else ["loss_generator"]
    state.images_seen = 24
    assert health.check(state, WELL, non_finite).verdict is Verdict.ROLLBACK
    assert all(torch.equal(value, before[name]) for name, value in weights(state).items())
    assert state.images_seen == 24  # what was seen was seen
    assert not torch.equal(state.noise.get_state(), noise)  # another way on from there
    apply_learning_rates(state, health.config)
    assert state.optimizer_generator.param_groups[0]["lr"] == health.config.learning_rate_generator / 2
    ((kind, data),) = events
    assert kind == "health_rollback"
    assert (data["code"], data["images_seen"]) == ("non_finite", 24)


def test_rollbacks_are_bounded(health: Health, events: list[Event]) -> None:
    state = fresh(health.config)
    for _ in range(health.config.max_rollbacks):
        assert health.check(state, WELL, ["loss_generator"]).verdict is Verdict.ROLLBACK
    with pytest.raises(NonFiniteLossError, match=r"loss_generator became NaN.*3 times") as caught:
        health.check(state, WELL, ["loss_generator"])
    assert caught.value.code == "training.non_finite_loss"
    assert [kind for kind, _ in events] == ["health_rollback"] * 3 + ["health_stop"]


@pytest.mark.parametrize(
    ("scalars", "code"),
    [
        ({"loss_discriminator": 1.0, "diversity": 0.01}, "collapse"),
        ({"loss_discriminator": 0.001, "diversity": 0.8}, "saturation"),
    ],
)
def test_lasting_faults_warn_once_then_go_back(
    scalars: dict[str, float], code: str, health: Health, events: list[Event]
) -> None:
    state = fresh(health.config)
    verdicts = [health.check(state, scalars, []).verdict for _ in range(10)]
    assert verdicts == [Verdict.OK] * 2 + [Verdict.WARN] * 7 + [Verdict.ROLLBACK]
    assert [(kind, data["code"]) for kind, data in events] == [
        ("health_warn", code),
        ("health_rollback", code),
    ]


def test_a_fault_that_passes_is_forgotten(health: Health, events: list[Event]) -> None:
    state = fresh(health.config)
    bad = {"loss_discriminator": 1.0, "diversity": 0.01}
    for scalars in (bad, bad, WELL, bad, bad):
        assert health.check(state, scalars, []).verdict is Verdict.OK
    assert events == []


def test_wasserstein_losses_have_no_mark_to_saturate_at(tiny_config: MakeConfig) -> None:
    health = Health(tiny_config("wgan"), Hooks())
    state = fresh(health.config)
    scalars = {"loss_discriminator": -50.0, "diversity": 0.8}
    assert {health.check(state, scalars, []).verdict for _ in range(12)} == {Verdict.OK}


def test_steep_gradients_warn(health: Health, events: list[Event]) -> None:
    state = fresh(health.config)
    for parameter in state.generator.parameters():
        parameter.grad = torch.full_like(parameter, 1e6)
    assert health.check(state, WELL, []).verdict is Verdict.WARN
    assert health.check(state, WELL, []).verdict is Verdict.WARN
    assert [data["code"] for _, data in events] == ["steep_gradient"]
    assert "generator" in events[0][1]["message"]


def test_periodic_reset(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, events: list[Event], tmp_path: Path
) -> None:
    """Every 24 images, looked at after every step: at 24 and 48 of 64."""
    config = tiny_config("dcgan", reset_kimg=0.024, health_kimg=0.008)
    hooks = Hooks(on_event=lambda kind, data: events.append((kind, data)))
    train(striped_dataset, config, recipe="dcgan", out=tmp_path, hooks=hooks)
    resets = [data["images_seen"] for kind, data in events if kind == "health_reset"]
    assert resets == [24, 48]


def break_at(images_seen: int) -> Callable[..., Any]:
    """A step that poisons the weights once, at this image."""

    def step(state: TrainingState, *args: Any, **kwargs: Any) -> Any:
        statistics = adversarial_step(state, *args, **kwargs)
        if state.images_seen == images_seen:
            with torch.no_grad():
                next(state.generator.parameters()).fill_(math.nan)
        return statistics

    return step


@pytest.mark.parametrize("stop_at", [2, 3, 5])
def test_a_rollback_is_the_same_after_a_resume(
    stop_at: int,
    striped_dataset: PackedDataset,
    tiny_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The break comes at image 32, the last good state is of image 16: stopped before, between and after."""
    monkeypatch.setattr("ml.training.steps.choose.adversarial_step", break_at(32))
    config = tiny_config("dcgan", deterministic=True, health_kimg=0.016)
    whole_events: list[str] = []
    whole = train(
        striped_dataset,
        config,
        recipe="dcgan",
        out=tmp_path / "whole",
        hooks=Hooks(on_event=lambda kind, _: whole_events.append(kind)),
    )
    assert "health_rollback" in whole_events
    left = iter(range(stop_at))
    hooks = Hooks(should_stop=lambda: Stop.CHECKPOINT if next(left, None) is None else None)
    stopped = train(striped_dataset, config, recipe="dcgan", out=tmp_path / "part", hooks=hooks)
    last = train(striped_dataset, config, recipe="dcgan", out=tmp_path / "last", resume=stopped.checkpoint)
    assert whole.checkpoint is not None
    assert last.checkpoint is not None
    assert sha256_of_file(whole.checkpoint / "state.safetensors") == sha256_of_file(
        last.checkpoint / "state.safetensors"
    )

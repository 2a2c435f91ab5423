"""Taking up a training state: what is foreign or damaged is refused, what merely differs is said."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ml.catalog import RecipeConfig
from ml.checkpoint import load_snapshot
from ml.data.packed import PackedDataset
from ml.errors import InvalidCheckpointError
from ml.hooks import Hooks, Stop, TrainingResult
from ml.train import train
from ml.training.state import TrainingState

MakeConfig = Callable[..., RecipeConfig]
Events = dict[str, Mapping[str, object]]


@pytest.fixture
def stopped(striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path) -> Path:
    """The training state of a run that was stopped after its first step."""
    left = iter([None, Stop.CHECKPOINT])
    hooks = Hooks(should_stop=lambda: next(left))
    result = train(
        striped_dataset, tiny_config("mlp-gan"), recipe="mlp-gan", out=tmp_path / "stopped", hooks=hooks
    )
    assert result.checkpoint is not None
    return result.checkpoint


@pytest.fixture
def resume(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> Callable[..., tuple[TrainingResult, Events]]:
    def run(folder: Path, **settings: object) -> tuple[TrainingResult, Events]:
        events: Events = {}
        result = train(
            striped_dataset,
            tiny_config("mlp-gan", **settings),
            recipe="mlp-gan",
            out=tmp_path / "resumed",
            hooks=Hooks(on_event=events.__setitem__),
            resume=folder,
        )
        return result, events

    return run


Resume = Callable[..., tuple[TrainingResult, Events]]


def edit(folder: Path, **fields: object) -> None:
    path = folder / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_the_same_surroundings_need_no_word(stopped: Path, resume: Resume) -> None:
    result, events = resume(stopped)
    assert (result.status, result.images_seen) == ("finished", 64)
    assert "resumed_inexactly" not in events


def test_another_number_format_is_taken_and_said(stopped: Path, resume: Resume) -> None:
    result, events = resume(stopped, precision="bf16")
    assert result.images_seen == 64
    assert events["resumed"]["precision"] == "bf16"
    told = events["resumed_inexactly"]
    assert told["changes"] == {"precision": {"before": "fp32", "now": "bf16"}}
    assert str(told["message"]).startswith("precision fp32 became bf16: from image 8 on")


def test_auto_keeps_the_number_format_it_began_with(stopped: Path, resume: Resume) -> None:
    edit(stopped, precision="bf16")
    _, events = resume(stopped, precision="auto")
    assert events["resumed"]["precision"] == "bf16"
    assert "resumed_inexactly" not in events


def test_another_device_and_other_software_are_taken_and_said(stopped: Path, resume: Resume) -> None:
    versions = json.loads((stopped / "state.json").read_text())["versions"]
    edit(stopped, device="cuda", versions=versions | {"torch": "1.0"})
    result, events = resume(stopped)
    assert result.images_seen == 64
    changes = events["resumed_inexactly"]["changes"]
    assert isinstance(changes, dict)
    assert changes.keys() == {"device", "torch"}
    assert changes["device"] == {"before": "cuda", "now": "cpu"}


def test_a_snapshot_is_no_training_state(stopped: Path, resume: Resume) -> None:
    result, _ = resume(stopped)
    assert result.snapshot is not None
    assert load_snapshot(result.snapshot).document.images_seen == 64
    with pytest.raises(InvalidCheckpointError, match="cannot be read") as caught:
        resume(result.snapshot)
    assert caught.value.code == "checkpoint.files_missing"


def test_a_truncated_state_is_refused(stopped: Path, resume: Resume) -> None:
    path = stopped / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InvalidCheckpointError, match="damaged") as caught:
        resume(stopped)
    assert caught.value.code == "checkpoint.hash_mismatch"


@pytest.mark.parametrize(
    "fields",
    [{"images_seen": -1}, {"images_seen": "8"}, {"seconds": None}, {"precision": "fp8"}, {"config": []}],
)
def test_an_impossible_document_is_refused(stopped: Path, resume: Resume, fields: dict[str, object]) -> None:
    edit(stopped, **fields)
    with pytest.raises(InvalidCheckpointError, match=next(iter(fields))) as caught:
        resume(stopped)
    assert caught.value.code == "checkpoint.document"


@pytest.mark.parametrize(
    ("name", "value"),
    [("rng.noise", torch.zeros(5056, dtype=torch.uint8)), ("sampler.position", torch.tensor(48))],
)
def test_an_impossible_state_is_refused(
    stopped: Path, resume: Resume, monkeypatch: pytest.MonkeyPatch, name: str, value: Tensor
) -> None:
    """Right names, shapes, types and hash: what is left to go wrong is noticed where it is used."""
    genuine = TrainingState.restore

    def with_nonsense(state: TrainingState, tensors: dict[str, Tensor]) -> None:
        assert tensors[name].shape == value.shape
        genuine(state, tensors | {name: value})

    monkeypatch.setattr(TrainingState, "restore", with_nonsense)
    with pytest.raises(InvalidCheckpointError, match="impossible state") as caught:
        resume(stopped)
    assert caught.value.code == "checkpoint.unusable"

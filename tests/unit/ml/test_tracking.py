"""Figures that leave a run: TensorBoard's event files, read back by TensorBoard itself, and MLflow's store."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ml.catalog import RecipeConfig
from ml.data.packed import PackedDataset
from ml.errors import MlError
from ml.hooks import Hooks, Progress
from ml.tracking.event_file import EventFile
from ml.tracking.mlflow import MlflowTracker
from ml.tracking.tensorboard import TensorBoardTracker, convert_metrics
from ml.tracking.tracker import following
from ml.train import train

MakeConfig = Callable[..., RecipeConfig]


@pytest.fixture
def read_back() -> Callable[[Path], object]:
    """TensorBoard's own reader."""
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard to read back"
    )

    def read(folder: Path) -> object:
        found = reader.EventAccumulator(str(folder))
        found.Reload()
        return found

    return read


def test_tensorboard_reads_what_was_written(tmp_path: Path, read_back: Callable[[Path], object]) -> None:
    with EventFile(tmp_path / "x.tfevents") as file:
        file.add_scalars({"loss": 0.5, "broken": float("nan")}, step=128, at=1000.0)
        file.add_scalars({"loss": -2.25}, step=300_000_000_000, at=1001.5)
    found = read_back(tmp_path)
    assert found.Tags()["scalars"] == ["loss"]  # type: ignore[attr-defined]  # tensorboard has no types
    points = [(p.wall_time, p.step, p.value) for p in found.Scalars("loss")]  # type: ignore[attr-defined]  # as above
    assert points == [(1000.0, 128, 0.5), (1001.5, 300_000_000_000, -2.25)]


def test_a_run_leaves_curves_and_sheets(
    striped_dataset: PackedDataset,
    tiny_config: MakeConfig,
    tmp_path: Path,
    read_back: Callable[[Path], object],
) -> None:
    reported: list[Progress] = []
    with following(Hooks(on_progress=reported.append), [TensorBoardTracker(tmp_path)]) as followed:
        result = followed.result = train(
            striped_dataset,
            tiny_config("mlp-gan", tick_seconds=0.1),
            recipe="mlp-gan",
            out=tmp_path,
            hooks=followed.hooks,
        )
    found = read_back(tmp_path / "tensorboard")
    losses = found.Scalars("loss_generator")  # type: ignore[attr-defined]  # tensorboard has no types
    assert [point.step for point in losses] == [progress.images_seen for progress in reported]
    assert losses[-1].value == pytest.approx(reported[-1].metrics["loss_generator"])
    (sheet,) = found.Images("samples")  # type: ignore[attr-defined]  # as above
    assert result.grid is not None
    assert sheet.encoded_image_string == result.grid.read_bytes()
    with Image.open(result.grid) as picture:
        assert (sheet.width, sheet.height) == picture.size


def test_metrics_lines_become_one_event_file(tmp_path: Path, read_back: Callable[[Path], object]) -> None:
    lines = [
        {"images_seen": 64, "seconds": 2.0, "kid": 0.25},
        {"images_seen": 128, "seconds": 5.0, "kid": 0.125},
    ]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    convert_metrics(metrics, tmp_path / "events" / "run.tfevents", ended_at=100.0)
    found = read_back(tmp_path / "events")
    assert found.Tags()["scalars"] == ["kid"]  # type: ignore[attr-defined]  # tensorboard has no types
    points = [(p.wall_time, p.step, p.value) for p in found.Scalars("kid")]  # type: ignore[attr-defined]  # as above
    assert points == [(97.0, 64, 0.25), (100.0, 128, 0.125)]


def test_without_mlflow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow.tracking", None)
    with pytest.raises(MlError, match=r"aigc-platform\[mlflow\]"):
        MlflowTracker("file:///nowhere", recipe="dcgan", config={})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of MLflow's own file store: the one that needs neither a server nor a database library."""
    pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "store").as_uri()


def test_mlflow_gets_settings_figures_and_sheets(
    store: str, striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    config = tiny_config("mlp-gan", tick_seconds=0.1)
    tracker = MlflowTracker(store, recipe="mlp-gan", config=config.model_dump(mode="json"), name="stripes")
    with following(Hooks(), [tracker]) as followed:
        followed.result = train(
            striped_dataset, config, recipe="mlp-gan", out=tmp_path / "run", hooks=followed.hooks
        )
    client = MlflowClient(tracking_uri=store)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["recipe"] == "mlp-gan"
    assert run.data.params["batch_size"] == "8"
    history = client.get_metric_history(tracker.run_id, "loss_generator")
    assert history[-1].step == 64
    assert {item.path for item in client.list_artifacts(tracker.run_id)} == {"samples", "snapshot"}


def test_a_silent_server_costs_figures_not_the_run(store: str) -> None:
    from mlflow.tracking import MlflowClient

    told: list[str] = []
    tracker = MlflowTracker(store, recipe="mlp-gan", config={}, tell=told.append)
    MlflowClient(tracking_uri=store).delete_run(tracker.run_id)
    progress = Progress(64, 64, 1.0, 1.0, None, {"loss_generator": 1.0})
    tracker.on_progress(progress)
    tracker.on_progress(progress)
    tracker.close(None)
    assert len(told) == 1
    assert "no more figures" in told[0]

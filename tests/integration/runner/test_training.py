"""Job kind `training`, in a real runner."""

import json
import time
from itertools import pairwise
from pathlib import Path

import torch

from ml.checkpoint import weights_sha256
from ml.codecs.png import read_provenance
from ml.data.packed import PackedDataset
from ml.files import sha256_of_file
from tests.integration.runner.driver import Runner, StartRunner, item, of_kind, only
from tests.integration.runner.training_setup import ENDLESS_CONFIG, TINY_CONFIG, training_spec
from workers.runner.protocol import (
    ArtifactReady,
    CheckpointDone,
    CheckpointReady,
    Event,
    ExitStatus,
    Failed,
    Finished,
    Progress,
    Stop,
    Stopped,
)

LONGER_CONFIG = TINY_CONFIG | {"kimg": 8.0, "grid_seconds": 0.0, "tick_seconds": 0.0}
"""500 steps: long enough to be stopped in the middle. A report after each."""


def wait_until_learning(runner: Runner) -> None:
    """Skip messages until the loop has made steps: before that it prepares for some seconds."""
    while runner.wait_for(Progress).current == 0:
        pass


def test_a_training_ends_with_all_its_artifacts(packed: Path, tmp_path: Path) -> None:
    job = item(
        tmp_path,
        training_spec(TINY_CONFIG),
        inputs={"dataset": packed},
        provenance={"platform": "test-platform", "code": "1.2.3"},
    )
    with Runner("training", tmp_path) as runner:
        ready = runner.ready()
        runner.start(job)
        messages = runner.until_ended()
        assert runner.exit_status() == ExitStatus.DONE

    assert ready.device == "cpu"
    assert ready.versions.keys() >= {"python", "torch", "numpy"}
    workspace = Path(job.workspace)
    artifacts = {
        (found.role, found.index): found for found in of_kind(messages, ArtifactReady) if not found.preview
    }
    roles = ("grid", "metrics", "card", "card_text", "card_picture")
    second = {("snapshot", 1), ("metrics", 1)}
    assert set(artifacts) == {("snapshot", 0), *((role, 0) for role in roles), *second}
    assert artifacts["metrics", 1].filename == "training.tfevents"
    assert artifacts["snapshot", 0].filename == "snapshot.safetensors"
    assert artifacts["snapshot", 1].filename == "snapshot.json"
    assert all((workspace / found.path).is_file() for found in artifacts.values())

    result = only(messages, Finished).result
    assert result["images_seen"] == 64
    assert result["classes"] == ["cat", "dog", "3"]
    assert result["image"] == {"width": 8, "height": 8, "channels": 1}
    assert result["snapshot_sha256"] == sha256_of_file(workspace / artifacts["snapshot", 0].path)

    last = of_kind(messages, Progress)[-1]
    assert (last.current, last.total, last.unit) == (64, 64, "images")
    assert last.metrics

    label = read_provenance((workspace / artifacts["grid", 0].path).read_bytes())
    assert label is not None
    assert (label.platform, label.job) == ("test-platform", "job-1")

    lines = [json.loads(line) for line in (workspace / artifacts["metrics", 0].path).read_text().splitlines()]
    assert lines[-1]["images_seen"] == 64

    card = json.loads((workspace / artifacts["card", 0].path).read_text())
    assert card["recipe"]["name"] == "mlp-gan"
    assert card["config"]["discriminator_widths"] == [16]
    assert card["dataset"]["manifest_sha256"] == sha256_of_file(packed / "manifest.json")
    assert card["dataset"]["class_counts"] == {"cat": 32, "dog": 32, "3": 32}
    assert card["training"]["device"] == "cpu"
    assert card["training"]["precision"] == "fp32"
    assert card["provenance"] == {"platform": "test-platform", "code": "1.2.3", "job": "job-1", "attempt": 1}
    assert card["limits"]
    assert card["snapshot_sha256"] == result["snapshot_sha256"]
    assert result["card"] == card
    assert (workspace / artifacts["card_text", 0].path).read_text().startswith("# tiny\n")
    label = read_provenance((workspace / artifacts["card_picture", 0].path).read_bytes())
    assert label is not None
    assert label.job == "job-1"
    # 96 images leave too few to measure by: the card says so, and so does the log.
    [skipped] = [
        found for found in of_kind(messages, Event) if found.event == "training.card_figures_skipped"
    ]
    assert skipped.data == card["figures"]["reason"]
    assert str(skipped.data["code"]) == "evaluation.too_few"


def test_previews_are_visible_at_once_and_labelled(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    job = item(
        tmp_path,
        training_spec(TINY_CONFIG | {"kimg": 0.64, "grid_seconds": 0.001}),
        inputs={"dataset": packed},
    )
    with warm_runner("training", tmp_path) as runner:
        runner.start(job)
        messages = runner.until_ended()
    previews = [found for found in of_kind(messages, ArtifactReady) if found.role == "preview"]
    assert previews
    assert all(found.preview for found in previews)
    assert len({found.index for found in previews}) == len(previews)
    for found in previews:
        label = read_provenance((Path(job.workspace) / found.path).read_bytes())
        assert label is not None
        assert label.job == "job-1"


def test_progress_comes_every_second_whatever_the_config_says(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    job = item(tmp_path, training_spec(ENDLESS_CONFIG | {"tick_seconds": 600.0}), inputs={"dataset": packed})
    with warm_runner("training", tmp_path) as runner:
        runner.start(job)
        wait_until_learning(runner)
        times = [time.monotonic()]
        for _ in range(3):
            assert runner.wait_for(Progress, timeout=5).rate
            times.append(time.monotonic())
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) < 3.0
    assert min(gaps[1:]) > 0.7


def test_stopped_and_resumed_equals_never_stopped(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    """Promise R1 through the whole chain: stop, committed checkpoint, new process, resume."""
    spec = training_spec(LONGER_CONFIG)
    straight = item(tmp_path, spec, job_id="straight", inputs={"dataset": packed})
    with warm_runner("training", tmp_path) as runner:
        runner.start(straight)
        runner.until_ended()

    first = item(tmp_path, spec, job_id="first", inputs={"dataset": packed})
    with warm_runner("training", tmp_path) as runner:
        runner.start(first, checkpoint_seconds=0.05)
        checkpoint = runner.wait_for(CheckpointReady)
        runner.send(Stop(mode="checkpoint", job_id="first"))
        message: object = checkpoint
        while not isinstance(message, Stopped):
            if isinstance(message, CheckpointReady):
                checkpoint = message
                runner.send(CheckpointDone(job_id="first", step=checkpoint.step, committed=True))
            message = runner.receive()
        assert message.checkpointed
        assert runner.exit_status() == ExitStatus.YIELDED
    assert 0 < checkpoint.step < 8_000

    state = Path(first.workspace) / checkpoint.folder
    second = item(tmp_path, spec, job_id="second", inputs={"dataset": packed}, resume=state)
    with Runner("training", tmp_path) as runner:
        runner.start(second)
        messages = runner.until_ended()
        assert runner.exit_status() == ExitStatus.DONE

    def weights(job_workspace: str) -> str:
        return weights_sha256(Path(job_workspace) / "run" / "snapshot")

    assert weights(second.workspace) == weights(straight.workspace)
    metrics = next(found for found in of_kind(messages, ArtifactReady) if found.role == "metrics")
    seen = [
        json.loads(line)["images_seen"]
        for line in (Path(second.workspace) / metrics.path).read_text().splitlines()
    ]
    assert seen == sorted(set(seen))
    assert seen[0] <= checkpoint.step < seen[-1] == 8_000


def test_a_state_that_was_not_stored_is_not_called_checkpointed(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    job = item(tmp_path, training_spec(ENDLESS_CONFIG), inputs={"dataset": packed})
    with warm_runner("training", tmp_path) as runner:
        runner.start(job)
        wait_until_learning(runner)
        runner.send(Stop(mode="checkpoint"))
        checkpoint = runner.wait_for(CheckpointReady)
        runner.send(CheckpointDone(job_id=job.job_id, step=checkpoint.step, committed=False))
        assert not runner.wait_for(Stopped).checkpointed
        assert runner.exit_status() == ExitStatus.DONE


def test_an_abort_ends_the_wait_for_the_last_commit(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    job = item(tmp_path, training_spec(ENDLESS_CONFIG), inputs={"dataset": packed})
    with warm_runner("training", tmp_path) as runner:
        runner.start(job)
        wait_until_learning(runner)
        runner.send(Stop(mode="checkpoint"))
        runner.wait_for(CheckpointReady)
        runner.send(Stop(mode="abort"))
        assert not runner.wait_for(Stopped, timeout=5).checkpointed


def test_one_checkpoint_in_flight_and_training_goes_on(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    job = item(tmp_path, training_spec(ENDLESS_CONFIG), inputs={"dataset": packed})
    with warm_runner("training", tmp_path) as runner:
        runner.start(job, checkpoint_seconds=0.1)
        first = runner.wait_for(CheckpointReady)
        state = Path(job.workspace) / first.folder / "state.safetensors"
        sha256 = sha256_of_file(state)
        silence_ends = time.monotonic() + 2.5
        seen = []
        while time.monotonic() < silence_ends:
            seen.append(runner.receive(timeout=5))
        assert not [message for message in seen if isinstance(message, CheckpointReady)]
        progress = [message for message in seen if isinstance(message, Progress)]
        assert progress[-1].current > first.step
        # The loop has written and dropped states meanwhile; the one handed over is untouched.
        assert len(list((Path(job.workspace) / "run" / "checkpoints").iterdir())) == 2
        assert sha256_of_file(state) == sha256

        runner.send(CheckpointDone(job_id=job.job_id, step=first.step, committed=True))
        second = runner.wait_for(CheckpointReady, timeout=5)
        assert second.step > first.step
        assert 0 <= second.stall_ms < 2_000


def test_abort_ends_a_training_at_once_and_keeps_nothing(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    job = item(tmp_path, training_spec(ENDLESS_CONFIG), inputs={"dataset": packed})
    with warm_runner("training", tmp_path) as runner:
        runner.start(job)
        wait_until_learning(runner)
        runner.send(Stop(mode="abort", job_id=job.job_id))
        asked_at = time.monotonic()
        messages = runner.until_ended(timeout=5)
        assert time.monotonic() - asked_at < 2
        assert not only(messages, Stopped).checkpointed
        assert not of_kind(messages, CheckpointReady)
        assert runner.exit_status() == ExitStatus.DONE


def test_wrong_settings_are_named_field_by_field(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    config = TINY_CONFIG | {"kimg": -1.0, "colour": "blue"}
    job = item(tmp_path, training_spec(config), inputs={"dataset": packed})
    with warm_runner("training", tmp_path) as runner:
        runner.start(job)
        failed = runner.wait_for(Failed)
        assert runner.exit_status() == ExitStatus.USER_ERROR
    assert failed.reason == "invalid_input"
    assert {problem.pointer for problem in failed.errors} == {"/config/kimg", "/config/colour"}


def test_a_missing_input_is_said(warm_runner: StartRunner, tmp_path: Path) -> None:
    with warm_runner("training", tmp_path) as runner:
        runner.start(item(tmp_path, training_spec(TINY_CONFIG)))
        failed = runner.wait_for(Failed)
    assert (failed.reason, failed.code) == ("code_error", "runner.input_missing")
    assert "'dataset'" in failed.message


def test_data_that_does_not_suit_the_recipe_is_refused(warm_runner: StartRunner, tmp_path: Path) -> None:
    unlabelled = PackedDataset.create(name="plain", images=torch.zeros((20, 1, 8, 8), dtype=torch.uint8))
    unlabelled.save(tmp_path / "plain")
    job = item(
        tmp_path,
        training_spec(TINY_CONFIG | {"conditional": "yes"}),
        inputs={"dataset": tmp_path / "plain"},
    )
    with warm_runner("training", tmp_path) as runner:
        runner.start(job)
        failed = runner.wait_for(Failed)
        assert runner.exit_status() == ExitStatus.USER_ERROR
    assert (failed.reason, failed.code) == ("invalid_input", "dataset.unsuitable")
    assert "no labels" in failed.message


def test_damaged_data_and_damaged_states_fail_with_a_sentence(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "manifest.json").write_bytes((packed / "manifest.json").read_bytes())
    (damaged / "data.safetensors").write_bytes((packed / "data.safetensors").read_bytes()[:-1] + b"\xff")
    with warm_runner("training", tmp_path) as runner:
        runner.start(item(tmp_path, training_spec(TINY_CONFIG), job_id="data", inputs={"dataset": damaged}))
        failed = runner.wait_for(Failed)
    assert (failed.reason, failed.code) == ("invalid_input", "dataset.hash_mismatch")

    with warm_runner("training", tmp_path) as runner:
        runner.start(
            item(
                tmp_path,
                training_spec(TINY_CONFIG),
                job_id="state",
                inputs={"dataset": packed},
                resume=tmp_path / "nothing",
            )
        )
        failed = runner.wait_for(Failed)
        assert runner.exit_status() == ExitStatus.INFRASTRUCTURE_ERROR
    assert (failed.reason, failed.code) == ("storage_error", "checkpoint.files_missing")
    assert "Traceback" not in failed.message


def test_a_training_that_finds_no_memory_says_which_setting_to_lower(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    # Seven layers of 16 MiB in each of three networks, in 160 MiB.
    config = TINY_CONFIG | {"generator_widths": [2048] * 8, "discriminator_widths": [2048] * 8}
    job = item(tmp_path, training_spec(config), inputs={"dataset": packed})
    with warm_runner(
        "training", tmp_path, arguments=["--threads", "1", "--memory-limit-bytes", str(160 << 20)]
    ) as runner:
        runner.start(job)
        failed = only(runner.until_ended(), Failed)
    assert (failed.reason, failed.code) == ("out_of_memory", "training.out_of_memory")
    assert "a batch_size below 16" in failed.message
    assert [problem.pointer for problem in failed.errors] == ["/config/batch_size"]
    assert "8 take about half" in failed.errors[0].message

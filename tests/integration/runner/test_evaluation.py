"""Job kind `evaluation`, in a real runner: a report with floors, refusals in sentences, stops."""

import json
import shutil
from pathlib import Path
from typing import Any

from ml.checkpoint import load_snapshot
from ml.files import sha256_of_file
from ml.metrics.report import EvaluationReport
from tests.integration.runner.driver import StartRunner, item, of_kind, only
from workers.runner.protocol import (
    ArtifactReady,
    ExitStatus,
    Failed,
    Finished,
    JobItem,
    Progress,
    Stop,
    Stopped,
)

PROVENANCE = {"model_version": "pets:3", "dataset": "tiny"}


def job(tmp_path: Path, snapshot: Path, dataset: Path, **spec: Any) -> JobItem:
    inputs = {"snapshot": snapshot, "dataset": dataset}
    return item(tmp_path, spec, inputs=inputs, provenance=PROVENANCE)


def test_a_report_says_what_was_measured_with_what(
    warm_runner: StartRunner, snapshot: Path, many: Path, tmp_path: Path
) -> None:
    started = job(tmp_path, snapshot, many, n=60, seed=4)
    with warm_runner("evaluation", tmp_path) as runner:
        runner.start(started)
        messages = runner.until_ended(timeout=120)
        assert runner.exit_status() == ExitStatus.DONE

    artifact = only(messages, ArtifactReady)
    assert (artifact.role, artifact.media_type) == ("report", "application/json")
    assert artifact.metadata == {"n": 60, "seed": 4}
    document = json.loads((Path(started.workspace) / artifact.path).read_text("utf-8"))
    assert document.pop("provenance") == {
        **PROVENANCE,
        "dataset_manifest_sha256": sha256_of_file(many / "manifest.json"),
    }
    report = EvaluationReport.model_validate(document)
    assert report.subject["sha256"] == load_snapshot(snapshot).sha256

    result = only(messages, Finished).result
    assert result["n"] == 60
    assert result["extractor"] == document["extractor"]
    distance = report.figure("frechet_distance")
    figures = result["figures"]
    assert isinstance(figures, dict)
    assert figures["frechet_distance"] == {
        "value": distance.value,
        "floor": distance.floor,
        "better": "lower",
        "uncertainty": None,
        "n": 60,
    }
    assert distance.floor is not None
    assert distance.value > distance.floor

    shares = [message.current for message in of_kind(messages, Progress)]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert of_kind(messages, Progress)[-1].metrics["frechet_distance"] == distance.value


def test_too_little_data_is_the_requests_fault_and_says_so(
    warm_runner: StartRunner, snapshot: Path, packed: Path, tmp_path: Path
) -> None:
    with warm_runner("evaluation", tmp_path) as runner:
        runner.start(job(tmp_path, snapshot, packed))
        failed = only(runner.until_ended(), Failed)
        assert runner.exit_status() == ExitStatus.USER_ERROR

    assert (failed.reason, failed.code) == ("invalid_input", "evaluation.too_few")
    assert "at least 50 images on each side" in failed.message


def test_a_damaged_snapshot_would_be_refused_everywhere(
    warm_runner: StartRunner, snapshot: Path, many: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(snapshot, damaged)
    (damaged / "snapshot.safetensors").write_bytes(b"\0" * 100)
    with warm_runner("evaluation", tmp_path) as runner:
        runner.start(job(tmp_path, damaged, many))
        failed = only(runner.until_ended(), Failed)

    assert (failed.reason, failed.code) == ("invalid_input", "checkpoint.hash_mismatch")


def test_a_stop_ends_it_soon_and_leaves_no_report(
    warm_runner: StartRunner, snapshot: Path, many: Path, tmp_path: Path
) -> None:
    with warm_runner("evaluation", tmp_path) as runner:
        runner.start(job(tmp_path, snapshot, many))
        runner.wait_for(Progress)
        runner.send(Stop(mode="abort"))
        messages = runner.until_ended()
        runner.exit_status()

    assert not only(messages, Stopped).checkpointed
    assert of_kind(messages, ArtifactReady) == []


def test_a_spec_that_is_wrong_is_named_by_every_field(
    warm_runner: StartRunner, snapshot: Path, many: Path, tmp_path: Path
) -> None:
    with warm_runner("evaluation", tmp_path) as runner:
        runner.start(job(tmp_path, snapshot, many, seed=-1, truncation=0, n="x"))
        failed = only(runner.until_ended(), Failed)

    assert sorted(problem.pointer for problem in failed.errors) == ["/n", "/seed", "/truncation"]

"""Job kind `generation`, in a real runner: groups, files, archives, stops."""

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml.checkpoint import load_snapshot
from ml.codecs.png import read_provenance
from ml.codecs.provenance import TRAINED_ALGORITHMIC_MEDIA
from ml.sample import SampleItem, Sampler
from tests.integration.runner.driver import FromRunner, StartRunner, item, of_kind, only
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

PROVENANCE = {"platform": "test-platform", "model": "pets", "model_version": "pets:3"}


def spec(**changes: Any) -> dict[str, Any]:
    return {"model": "pets:3", "kind": "sample", "count": 5, "seed": 7, "format": "png"} | changes


def job(tmp_path: Path, snapshot: Path, job_id: str = "job-1", **changes: Any) -> JobItem:
    return item(
        tmp_path, spec(**changes), job_id=job_id, inputs={"snapshot": snapshot}, provenance=PROVENANCE
    )


def images_of(messages: list[FromRunner], started: JobItem) -> dict[int, bytes]:
    return {
        found.index: (Path(started.workspace) / found.path).read_bytes()
        for found in of_kind(messages, ArtifactReady)
        if found.role == "image" and found.job_id == started.job_id
    }


def test_files_are_named_labelled_and_what_the_sampler_makes(
    warm_runner: StartRunner, snapshot: Path, tmp_path: Path
) -> None:
    started = job(tmp_path, snapshot)
    with warm_runner("generation", tmp_path) as runner:
        runner.start(started)
        messages = runner.until_ended()
        assert runner.exit() == ExitStatus.DONE

    found = {(a.role, a.index): a for a in of_kind(messages, ArtifactReady)}
    assert set(found) == {*(("image", i) for i in range(5)), ("grid", 0)}
    assert [found["image", i].filename for i in range(5)] == [
        "pets-000000-cat.png",
        "pets-000001-dog.png",
        "pets-000002-class3.png",
        "pets-000003-cat.png",
        "pets-000004-dog.png",
    ]
    assert found["image", 2].metadata == {"seed": 7, "index": 2, "class": "3"}
    assert not any(artifact.preview for artifact in found.values())

    sampler = Sampler.load(snapshot)
    expected = dict(sampler.sample([SampleItem(7, i, i % 3) for i in range(5)]))
    for index, png in images_of(messages, started).items():
        pixels = np.asarray(Image.open(io.BytesIO(png)))
        np.testing.assert_array_equal(pixels, expected[index][:, :, 0])
        label = read_provenance(png)
        assert label is not None
        assert label.digital_source_type == TRAINED_ALGORITHMIC_MEDIA
        assert (label.platform, label.model_version, label.job) == ("test-platform", "pets:3", "job-1")
        assert (label.seed, label.index, label.class_name) == (7, index, ("cat", "dog", "3")[index % 3])

    grid = (Path(started.workspace) / found["grid", 0].path).read_bytes()
    assert read_provenance(grid) is not None
    assert only(messages, Finished).result == {
        "count": 5,
        "seed": 7,
        "truncation": 1.0,
        "classes": ["cat", "dog", "3"],
        "image": {"width": 8, "height": 8, "channels": 1},
        "snapshot_sha256": load_snapshot(snapshot).sha256,
    }
    last = of_kind(messages, Progress)[-1]
    assert (last.current, last.total, last.eta_seconds) == (5, 5, 0)
    assert last.rate
    assert last.rate > 0


def test_an_archive_holds_the_same_images_and_says_what_they_are(
    warm_runner: StartRunner, snapshot: Path, tmp_path: Path
) -> None:
    files = job(tmp_path, snapshot, "files", count=70)
    archived = job(tmp_path, snapshot, "archive", count=70, delivery="archive")
    with warm_runner("generation", tmp_path) as runner:
        runner.start(files, archived)
        messages = runner.until_ended(jobs=2)

    single = {
        found.filename: (Path(files.workspace) / found.path).read_bytes()
        for found in of_kind(messages, ArtifactReady)
        if found.job_id == "files" and found.role == "image"
    }
    (archive,) = [found for found in of_kind(messages, ArtifactReady) if found.role == "archive"]
    assert (archive.media_type, archive.job_id) == ("application/zip", "archive")
    with zipfile.ZipFile(Path(archived.workspace) / archive.path) as opened:
        assert opened.testzip() is None
        assert TRAINED_ALGORITHMIC_MEDIA in opened.comment.decode()
        manifest = json.loads(opened.read("manifest.json"))
        members = {name: opened.read(name) for name in opened.namelist() if name != "manifest.json"}
    assert members.keys() == single.keys()
    for name, png in members.items():
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(png))), np.asarray(Image.open(io.BytesIO(single[name])))
        )
    assert manifest["ai_generated"] is True
    assert (manifest["seed"], manifest["count"], manifest["job"]) == (7, 70, "archive")
    assert [entry["index"] for entry in manifest["files"]] == list(range(70))
    for entry in manifest["files"]:
        assert entry["sha256"] == hashlib.sha256(members[entry["file"]]).hexdigest()


def test_a_group_makes_the_same_files_as_each_job_alone(
    warm_runner: StartRunner, snapshot: Path, tmp_path: Path
) -> None:
    """Promise R2 through the whole chain, with counts that share passes and leave them half full."""
    wishes: dict[str, dict[str, Any]] = {
        "a": {"seed": 1, "count": 5},
        "b": {"seed": 2, "count": 71, "classes": ["dog"]},
        "c": {"seed": 3, "count": 18, "truncation": 0.5},
    }
    alone: dict[str, dict[int, bytes]] = {}
    with warm_runner("generation", tmp_path) as runner:
        for job_id, wish in wishes.items():
            started = job(tmp_path / "alone", snapshot, job_id, **wish)
            runner.start(started)
            alone[job_id] = images_of(runner.until_ended(), started)
        grouped = [job(tmp_path / "group", snapshot, job_id, **wish) for job_id, wish in wishes.items()]
        runner.start(*grouped)
        messages = runner.until_ended(jobs=3)
    for started in grouped:
        assert images_of(messages, started) == alone[started.job_id]
        assert len(alone[started.job_id]) == wishes[started.job_id]["count"]


def test_what_is_wrong_with_one_job_is_its_own_matter(
    warm_runner: StartRunner, snapshot: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(snapshot, damaged)
    weights = damaged / "snapshot.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    jobs = [
        job(tmp_path, snapshot, "good", count=20),
        job(tmp_path, damaged, "bad-snapshot"),
        job(tmp_path, snapshot, "bad-class", classes=["dog", "horse"]),
        job(tmp_path, snapshot, "bad-spec", count=0, delivery="pigeon"),
        job(tmp_path, tmp_path / "nowhere", "no-snapshot"),
        job(tmp_path, snapshot, "also-good", count=3),
    ]
    with warm_runner("generation", tmp_path) as runner:
        runner.start(*jobs)
        messages = runner.until_ended(jobs=len(jobs))
        assert runner.exit() == ExitStatus.DONE

    assert {message.job_id for message in of_kind(messages, Finished)} == {"good", "also-good"}
    failed = {message.job_id: message for message in of_kind(messages, Failed)}
    assert {job_id: (f.reason, f.code) for job_id, f in failed.items()} == {
        "bad-snapshot": ("invalid_input", "checkpoint.hash_mismatch"),
        "bad-class": ("invalid_input", "sample.unknown_class"),
        "bad-spec": ("invalid_input", "spec.invalid"),
        "no-snapshot": ("invalid_input", "checkpoint.files_missing"),
    }
    assert [problem.pointer for problem in failed["bad-class"].errors] == ["/classes/1"]
    assert {problem.pointer for problem in failed["bad-spec"].errors} == {"/count", "/delivery"}
    assert len(images_of(messages, jobs[0])) == 20


def test_a_job_whose_files_cannot_be_written_fails_alone(
    warm_runner: StartRunner, snapshot: Path, tmp_path: Path
) -> None:
    blocked = job(tmp_path, snapshot, "blocked", count=200)
    other = job(tmp_path, snapshot, "other", count=100)
    # A folder stands where the file should go, from the 100th image on.
    (Path(blocked.workspace) / "images" / "000100.png").mkdir(parents=True)
    with warm_runner("generation", tmp_path) as runner:
        runner.start(blocked, other)
        messages = runner.until_ended(jobs=2)
    assert only(messages, Failed).job_id == "blocked"
    assert only(messages, Finished).job_id == "other"
    after_the_end = messages[messages.index(only(messages, Failed)) + 1 :]
    assert not [message for message in after_the_end if getattr(message, "job_id", "") == "blocked"]


@pytest.mark.parametrize("mode", ["abort", "checkpoint"])
def test_a_stop_ends_one_job_and_leaves_the_others(
    warm_runner: StartRunner, mode: Any, snapshot: Path, tmp_path: Path
) -> None:
    endless = job(tmp_path, snapshot, "endless", count=100_000_000, delivery="archive")
    also_endless = job(tmp_path, snapshot, "also-endless", count=100_000_001, delivery="archive")
    with warm_runner("generation", tmp_path) as runner:
        runner.start(endless, also_endless)
        while runner.wait_for(Progress, job="endless").current == 0:
            pass
        runner.send(Stop(mode=mode, job_id="endless"))
        stopped = runner.wait_for(Stopped, timeout=5)
        assert (stopped.job_id, stopped.checkpointed) == ("endless", False)
        while runner.wait_for(Progress, job="also-endless").current == 0:
            pass
        runner.send(Stop(mode=mode, job_id="also-endless"))
        assert runner.wait_for(Stopped, timeout=5).job_id == "also-endless"
        # Still warm.
        runner.start(job(tmp_path, snapshot, "next"))
        assert runner.wait_for(Finished).job_id == "next"
        assert runner.exit() == ExitStatus.DONE


def test_a_stop_of_all_does_not_touch_what_is_started_later(
    warm_runner: StartRunner, snapshot: Path, tmp_path: Path
) -> None:
    with warm_runner("generation", tmp_path) as runner:
        runner.ready()
        runner.send(Stop(mode="abort"))
        runner.start(job(tmp_path, snapshot))
        runner.wait_for(Finished)


def test_another_snapshot_at_the_same_place_is_not_taken_for_the_old_one(
    warm_runner: StartRunner, snapshot: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    shutil.copytree(snapshot, place)
    with warm_runner("generation", tmp_path) as runner:
        runner.start(job(tmp_path, place, "first"))
        runner.wait_for(Finished)
        (place / "snapshot.json").write_text("{}")
        runner.start(job(tmp_path, place, "second"))
        assert runner.wait_for(Failed).job_id == "second"

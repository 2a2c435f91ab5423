"""Job kind `dataset_import`, in a real runner."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

from ml.codecs.png import read_provenance
from ml.data.packed import PackedDataset
from ml.files import sha256_of_file
from tests.integration.runner.driver import StartRunner, item, of_kind, only
from workers.runner.protocol import ArtifactReady, ExitStatus, Failed, Finished, JobItem, Stop, Stopped


def png(shade: int, px: int = 12) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (px, px), (shade, 0, 255 - shade)).save(buffer, "PNG")
    return buffer.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def upload(tmp_path: Path, members: dict[str, bytes], **changes: Any) -> JobItem:
    path = archive(tmp_path / "upload.zip", members)
    spec = {
        "source": {"upload": {"filename": "pets.zip", "sha256": "0" * 64, "size": path.stat().st_size}},
        "name": "pets",
        "image_px": None,
        "require_labels": True,
    }
    return item(tmp_path, spec | changes, inputs={"archive": path})


def test_a_builtin_set_becomes_packed_files(warm_runner: StartRunner, tmp_path: Path) -> None:
    job = item(tmp_path, {"source": {"builtin": "digits"}, "name": "my digits", "image_px": None})
    with warm_runner("dataset_import", tmp_path) as runner:
        runner.start(job)
        messages = runner.until_ended()
        assert runner.exit_status() == ExitStatus.DONE

    found = {artifact.role: artifact for artifact in of_kind(messages, ArtifactReady)}
    assert set(found) == {"data", "manifest", "grid"}
    workspace = Path(job.workspace)
    dataset = PackedDataset.load((workspace / found["data"].path).parent)
    result = only(messages, Finished).result
    assert result == {
        "sample_count": 1797,
        "width": 32,
        "height": 32,
        "channels": 1,
        "classes": [str(digit) for digit in range(10)],
        "class_counts": dataset.manifest["class_counts"],
        "data_sha256": sha256_of_file(workspace / found["data"].path),
        "manifest_sha256": sha256_of_file(workspace / found["manifest"].path),
    }
    grid = workspace / found["grid"].path
    with Image.open(grid) as sheet:
        # Six rows of the ten classes, 32 px and a gap of 2 px each.
        assert sheet.size == (10 * 34 + 2, 6 * 34 + 2)
    assert read_provenance(grid.read_bytes()) is None, "real images are not labelled as AI-made"


def test_an_upload_becomes_packed_files(warm_runner: StartRunner, tmp_path: Path) -> None:
    members = {f"cats/{i}.png": png(i * 9) for i in range(9)} | {"dogs/a.png": png(7), "dogs/b.png": png(8)}
    job = upload(tmp_path, members, image_px=16)
    with warm_runner("dataset_import", tmp_path) as runner:
        runner.start(job)
        messages = runner.until_ended()
    result = only(messages, Finished).result
    assert (result["sample_count"], result["width"], result["channels"]) == (11, 16, 3)
    assert (result["classes"], result["class_counts"]) == (["cats", "dogs"], [9, 2])
    (manifest,) = [found for found in of_kind(messages, ArtifactReady) if found.role == "manifest"]
    assert json.loads((Path(job.workspace) / manifest.path).read_text())["name"] == "pets"


def test_a_refused_upload_names_the_files_at_fault(warm_runner: StartRunner, tmp_path: Path) -> None:
    members = {
        "cats/good.png": png(1),
        "cats/short.png": png(2)[:-30],
        "dogs/notes.txt": b"hello",
        "../../etc/passwd.png": png(3),
    }
    with warm_runner("dataset_import", tmp_path) as runner:
        runner.start(upload(tmp_path, members))
        failed = runner.wait_for(Failed)
        assert runner.exit_status() == ExitStatus.USER_ERROR
    assert failed.reason == "invalid_input"
    problems = {problem.pointer: problem.code for problem in failed.errors}
    assert problems["dogs/notes.txt"] == "dataset.not_an_image"
    assert problems["../../etc/passwd.png"] == "dataset.unsafe_path"
    assert all(problem.message for problem in failed.errors)
    assert not list(tmp_path.parent.rglob("passwd.png"))


def test_an_unknown_builtin_set_is_the_users_error(warm_runner: StartRunner, tmp_path: Path) -> None:
    with warm_runner("dataset_import", tmp_path) as runner:
        runner.start(item(tmp_path, {"source": {"builtin": "imagenet"}, "name": "x"}))
        failed = runner.wait_for(Failed)
    assert (failed.reason, failed.code) == ("invalid_input", "dataset.unknown_builtin")


LARGE = 1_500
"""Images of 128 px in colour that take 74 MB together."""


def many_images(count: int) -> dict[str, bytes]:
    content = png(100, px=8)
    return {f"{'ab'[i % 2]}/{i}.png": content for i in range(count)}


def test_data_beyond_the_memory_limit_fails_with_a_sentence(warm_runner: StartRunner, tmp_path: Path) -> None:
    job = upload(tmp_path, many_images(LARGE), image_px=128)
    arguments = ("--threads", "1", "--memory-limit-bytes", str(64 << 20))
    with warm_runner("dataset_import", tmp_path, arguments=arguments) as runner:
        runner.start(job)
        failed = runner.wait_for(Failed)
        assert runner.exit_status() == ExitStatus.INFRASTRUCTURE_ERROR
    assert (failed.reason, failed.code) == ("out_of_memory", "dataset.too_large_for_memory")


def test_the_same_data_fits_below_a_higher_limit(warm_runner: StartRunner, tmp_path: Path) -> None:
    """The counterpart: it was the limit, not the data."""
    job = upload(tmp_path, many_images(LARGE), image_px=128)
    arguments = ("--threads", "1", "--memory-limit-bytes", str(1 << 30))
    with warm_runner("dataset_import", tmp_path, arguments=arguments) as runner:
        runner.start(job)
        assert runner.wait_for(Finished).result["sample_count"] == LARGE


def test_a_stop_ends_an_import_in_the_middle(warm_runner: StartRunner, tmp_path: Path) -> None:
    job = upload(tmp_path, many_images(60_000), image_px=8)
    with warm_runner("dataset_import", tmp_path) as runner:
        runner.ready()
        runner.start(job)
        runner.send(Stop(mode="abort", job_id=job.job_id))
        assert not only(runner.until_ended(timeout=10), Stopped).checkpointed
        assert runner.exit_status(timeout=5) == ExitStatus.DONE

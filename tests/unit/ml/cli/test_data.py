"""`python -m ml data`: the same packed data from a folder, an archive and a packed folder, and a word about it."""

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from ml.cli.main import app
from ml.data.packed import PackedDataset


def look(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", *arguments], terminal_width=200)
    return result.exit_code, result.output.replace("\n", " ")


@pytest.fixture
def folder(striped_dataset: PackedDataset, tmp_path: Path) -> Path:
    assert striped_dataset.labels is not None
    folder = tmp_path / "my images"
    for i, image in enumerate(striped_dataset.images):
        place = folder / striped_dataset.classes[int(striped_dataset.labels[i])]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(place / f"{i:02d}.png")
    return folder


def test_a_folder_and_its_archive_give_the_same_data(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "my images.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*.png")):
            packed.write(path, path.relative_to(folder.parent))
    for source, out in ((folder, "a"), (archive, "b")):
        code, output = look(str(source), "--out", str(tmp_path / out), "--image-px", "8")
        assert code == 0, output
        assert "48 of 8x8 px, grey" in output
        assert "48 different images are few" in output
    manifests = [json.loads((tmp_path / out / "manifest.json").read_text()) for out in ("a", "b")]
    assert manifests[0]["sha256"] == manifests[1]["sha256"]
    assert manifests[0]["class_counts"] == [24, 24]
    assert manifests[0]["name"] == "my images"

    code, output = look(str(tmp_path / "a"))
    assert code == 0, output
    assert PackedDataset.load(tmp_path / "a").content_sha256 in output


def test_a_built_in_set_is_told_by_its_name() -> None:
    code, output = look("digits")
    assert code == 0, output
    assert "1,797 of 32x32 px, grey" in output
    assert "183" in output


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, part in (
        (str(tmp_path / "empty"), "no images"),
        ("nowhere", "no built-in data set 'nowhere'"),
    ):
        code, output = look(source)
        assert code == 1
        assert part in output
        assert "Traceback" not in output

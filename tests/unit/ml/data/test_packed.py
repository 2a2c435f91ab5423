"""The packed form: equal data gives equal bytes, and every kind of damage is noticed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ml.data.packed import PackedDataset
from ml.errors import InvalidDatasetError

Edit = Callable[[dict[str, Any]], object]


def reloaded_with(folder: Path, edit: Edit) -> PackedDataset:
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return PackedDataset.load(folder)


@pytest.fixture
def folder(striped_dataset: PackedDataset, tmp_path: Path) -> Path:
    striped_dataset.save(tmp_path / "packed")
    return tmp_path / "packed"


def test_round_trip(striped_dataset: PackedDataset, folder: Path) -> None:
    loaded = PackedDataset.load(folder)
    assert torch.equal(loaded.images, striped_dataset.images)
    assert striped_dataset.labels is not None
    assert loaded.labels is not None
    assert torch.equal(loaded.labels, striped_dataset.labels)
    assert loaded.classes == ("rows", "columns")
    assert loaded.name == "stripes"
    assert loaded.content_sha256 == striped_dataset.content_sha256
    assert loaded.manifest["class_counts"] == [24, 24]
    assert loaded.manifest["sha256"] == hashlib.sha256((folder / "data.safetensors").read_bytes()).hexdigest()


def test_round_trip_without_labels(tmp_path: Path) -> None:
    images = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    PackedDataset.create(name="black", images=images).save(tmp_path)
    loaded = PackedDataset.load(tmp_path)
    assert loaded.labels is None
    assert loaded.classes == ()
    assert loaded.image_shape == (3, 8, 8)


def test_round_trip_with_its_own_test_split(striped_dataset: PackedDataset, tmp_path: Path) -> None:
    images, labels = striped_dataset.images, striped_dataset.labels
    held_out = torch.arange(48) >= 40
    data = PackedDataset.create(
        name="stripes", images=images, labels=labels, classes=striped_dataset.classes, held_out=held_out
    )
    assert data.save(tmp_path)["held_out"] == 8
    loaded = PackedDataset.load(tmp_path)
    assert loaded.held_out is not None
    assert loaded.held_out.tolist() == held_out.tolist()
    # Another split is other data; what may be learned is the same as of the training images alone.
    assert loaded.content_sha256 == data.content_sha256 != striped_dataset.content_sha256
    assert labels is not None
    kept = PackedDataset.create(
        name="kept", images=images[:40], labels=labels[:40], classes=striped_dataset.classes
    )
    assert loaded.training_sha256 == kept.content_sha256 == kept.training_sha256


@pytest.mark.parametrize(
    "held_out", [torch.ones(48, dtype=torch.bool), torch.zeros(47, dtype=torch.bool), torch.zeros(48)]
)
def test_an_impossible_test_split_is_refused(striped_dataset: PackedDataset, held_out: torch.Tensor) -> None:
    with pytest.raises(InvalidDatasetError, match="test split"):
        PackedDataset.create(name="x", images=striped_dataset.images, held_out=held_out)


def test_same_data_same_bytes(striped_dataset: PackedDataset, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    striped_dataset.save(first)
    PackedDataset.load(first).save(second)
    for name in ("data.safetensors", "manifest.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_content_hash_knows_pixels_labels_and_classes_but_not_the_name(
    striped_dataset: PackedDataset,
) -> None:
    images, labels = striped_dataset.images, striped_dataset.labels
    assert labels is not None

    def content(**changes: Any) -> str:
        parts = {"name": "x", "images": images, "labels": labels, "classes": ["rows", "columns"]} | changes
        return PackedDataset.create(**parts).content_sha256

    other = images.clone()
    other[0, 0, 0, 0] ^= 1
    assert content() == striped_dataset.content_sha256
    assert (
        len({content(), content(images=other), content(labels=1 - labels), content(classes=["a", "b"])}) == 4
    )


@pytest.mark.parametrize("name", ["data.safetensors", "manifest.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InvalidDatasetError, match=name) as caught:
        PackedDataset.load(folder)
    assert caught.value.code == "dataset.files_missing"


def test_one_flipped_bit_is_noticed(folder: Path) -> None:
    path = folder / "data.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidDatasetError) as caught:
        PackedDataset.load(folder)
    assert caught.value.code == "dataset.hash_mismatch"


def test_file_that_is_no_safetensors_is_noticed(folder: Path) -> None:
    (folder / "data.safetensors").write_bytes(b"junk")
    digest = hashlib.sha256(b"junk").hexdigest()
    with pytest.raises(InvalidDatasetError) as caught:
        reloaded_with(folder, lambda manifest: manifest.update(sha256=digest))
    assert caught.value.code == "dataset.unreadable"


@pytest.mark.parametrize(
    "edit",
    [
        lambda manifest: manifest.update(count=47),
        lambda manifest: manifest.update(shape=[1, 8, 9]),
        lambda manifest: manifest.update(class_counts=[20, 28]),
        lambda manifest: manifest.update(kind="sounds"),
        lambda manifest: manifest.update(format=99),
        lambda manifest: manifest.update(classes="rows"),
        lambda manifest: manifest.pop("count"),
    ],
)
def test_manifest_that_does_not_describe_the_data_is_refused(folder: Path, edit: Edit) -> None:
    with pytest.raises(InvalidDatasetError) as caught:
        reloaded_with(folder, edit)
    assert caught.value.code == "dataset.manifest"


@pytest.mark.parametrize("text", ["{", "[]"])
def test_manifest_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InvalidDatasetError) as caught:
        PackedDataset.load(folder)
    assert caught.value.code == "dataset.manifest"


@pytest.mark.parametrize(
    "tensors",
    [
        {"images": torch.zeros(48, 1, 8, 8, dtype=torch.uint8)},
        {"images": torch.zeros(48, 1, 8, 8), "labels": torch.zeros(48, dtype=torch.int64)},
        {"images": torch.zeros(48, 5, 8, 8, dtype=torch.uint8), "labels": torch.zeros(48, dtype=torch.int64)},
        {"images": torch.zeros(48, 1, 8, 8, dtype=torch.uint8), "labels": torch.zeros(48, dtype=torch.int32)},
        {"images": torch.zeros(48, 1, 8, 8, dtype=torch.uint8), "labels": torch.full((48,), 2)},
        {"images": torch.zeros(48, 1, 8, 8, dtype=torch.uint8), "labels": torch.full((48,), -1)},
        {"images": torch.zeros(48, 1, 8, 8, dtype=torch.uint8), "labels": torch.zeros(47, dtype=torch.int64)},
    ],
)
def test_wrong_tensors_are_refused(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, folder / "data.safetensors")
    digest = hashlib.sha256((folder / "data.safetensors").read_bytes()).hexdigest()
    with pytest.raises(InvalidDatasetError) as caught:
        reloaded_with(folder, lambda manifest: manifest.update(sha256=digest))
    assert caught.value.code == "dataset.tensors"

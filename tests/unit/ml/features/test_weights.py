"""Feature networks on disk: the stored one is the one that scores, and anything else is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ml.data.packed import PackedDataset
from ml.errors import InvalidCheckpointError, InvalidDatasetError
from ml.features.classifier import features_of
from ml.features.train import train_feature_network
from ml.features.weights import LARGEST_FILE_BYTES, half_precision, load_network, save_network

Header = dict[str, object]


@pytest.fixture(scope="module")
def data() -> PackedDataset:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 100, (120, 1, 12, 12), generator=rng, dtype=torch.uint8)
    labels = torch.arange(120) % 2
    images[labels == 1] += 120
    return PackedDataset.create(name="bright", images=images, labels=labels, classes=["dark", "bright"])


@pytest.fixture(scope="module")
def stored(data: PackedDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    network, document = train_feature_network(data, name="tiny", images_shown=1500)
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    return path, save_network(path, network, document)


def test_a_network_comes_back_as_it_was_scored(data: PackedDataset, stored: tuple[Path, str]) -> None:
    network, document = train_feature_network(data, name="tiny", images_shown=1500)

    loaded, said, sha256 = load_network(stored[0], expected_sha256=stored[1])

    assert torch.equal(features_of(loaded, data.images), features_of(network, data.images))
    assert said == document
    assert sha256 == stored[1]
    assert document.test_accuracy == 1.0
    assert document.dataset_sha256 == data.content_sha256
    assert document.holdout == 0.1


def test_refuses_a_file_with_another_hash(stored: tuple[Path, str]) -> None:
    with pytest.raises(InvalidCheckpointError) as caught:
        load_network(stored[0], expected_sha256="0" * 64)

    assert caught.value.code == "features.hash_mismatch"


def rewrite(path: Path, target: Path, *, header: Header | None = None, **tensors: torch.Tensor) -> Path:
    """A copy of a network file with some of its header or tensors replaced."""
    network, document, _ = load_network(path)
    said = {**document.model_dump(mode="json"), **(header or {})}
    weights = {**half_precision(network), **tensors}
    save_file(weights, target, metadata={"feature_network": json.dumps(said)})
    return target


@pytest.mark.parametrize(
    ("header", "tensors", "reason"),
    [
        ({"format": 2}, {}, "format 2"),
        ({"classes": ["a", "b", "c"]}, {}, "class names"),
        ({"spec": {"px": 24, "channels": 1, "classes": 2, "width": 32}}, {}, "another shape"),
        ({"spec": {"px": 4000, "channels": 1, "classes": 2, "width": 32}}, {}, "not a feature network"),
        ({"unknown": 1}, {}, "not a feature network"),
        ({}, {"centre": torch.full((128,), torch.nan, dtype=torch.float16)}, "NaN"),
        ({}, {"centre": torch.zeros(128)}, "not fp16"),
        ({}, {"extra": torch.zeros(1, dtype=torch.float16)}, "extra"),
    ],
)
def test_refuses_what_does_not_fit_together(
    stored: tuple[Path, str], tmp_path: Path, header: Header, tensors: dict[str, torch.Tensor], reason: str
) -> None:
    path = rewrite(stored[0], tmp_path / "odd.safetensors", header=header, **tensors)

    with pytest.raises(InvalidCheckpointError, match=reason):
        load_network(path)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x80\x04pickle", b"\xff" * 64])
def test_refuses_files_that_are_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)

    with pytest.raises(InvalidCheckpointError) as caught:
        load_network(path)

    assert caught.value.code == "features.unreadable"


def test_refuses_missing_and_oversized_files(tmp_path: Path) -> None:
    large = tmp_path / "large.safetensors"
    with large.open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)

    for path in (large, tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(InvalidCheckpointError, match="at most 8 MiB"):
            load_network(path)


def test_data_without_classes_trains_no_network() -> None:
    unlabelled = PackedDataset.create(name="plain", images=torch.zeros(99, 1, 8, 8, dtype=torch.uint8))

    with pytest.raises(InvalidDatasetError, match="fewer than two classes"):
        train_feature_network(unlabelled, name="none")

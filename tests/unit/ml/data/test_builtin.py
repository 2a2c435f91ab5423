"""Built-in data sets: digits from scikit-learn, Fashion-MNIST from IDX files in a folder."""

import gzip
import hashlib
import struct
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data import builtin
from ml.data.builtin import load_builtin
from ml.data.split import split_dataset
from ml.errors import InvalidDatasetError


def test_digits() -> None:
    digits = load_builtin("digits")
    assert digits.images.shape == (1797, 1, 32, 32)
    assert digits.classes == tuple("0123456789")
    assert digits.manifest["class_counts"] == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.manifest["source"]["licence"] == "CC-BY-4.0"
    margin = digits.images.clone()
    margin[:, :, 4:-4, 4:-4] = 0
    assert not margin.any()
    assert int(digits.images.max()) == 255
    # Smooth: most neighbouring pixels differ a little, where blown-up squares would differ by nothing or much.
    steps = np.abs(np.diff(digits.images[:, 0].numpy().astype(int), axis=2))[:, 4:-4, 4:-4]
    assert (steps > 0).mean() > 0.5
    assert (steps > 100).mean() < 0.02


def test_digits_are_the_same_every_time() -> None:
    assert load_builtin("digits").content_sha256 == load_builtin("digits").content_sha256


def test_unknown_set_names_the_known_ones() -> None:
    with pytest.raises(InvalidDatasetError, match="digits, fashion-mnist") as caught:
        load_builtin("imagenet")
    assert caught.value.code == "dataset.unknown_builtin"


def idx(values: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small data set in Fashion-MNIST's form, whose hashes the loader is told."""
    rng = np.random.default_rng(0)
    contents = (
        idx(rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)),
        idx((np.arange(30) % 10).astype(np.uint8)),
        idx(rng.integers(0, 256, (10, 28, 28), dtype=np.uint8)),
        idx(np.arange(10).astype(np.uint8)),
    )
    files = []
    for known, content in zip(builtin.FASHION_MNIST_FILES, contents, strict=True):
        (tmp_path / known.name).write_bytes(gzip.compress(content))
        digest = hashlib.sha256(content).hexdigest()
        files.append(known._replace(size_bytes=len(content), content_sha256=digest))
    monkeypatch.setattr(builtin, "FASHION_MNIST_FILES", tuple(files))
    monkeypatch.setattr(builtin, "FASHION_MNIST_URL", "http://127.0.0.1:1/")
    return tmp_path


def test_fashion_mnist_from_a_folder(folder: Path) -> None:
    fashion = load_builtin("fashion-mnist", folder=folder)
    assert fashion.images.shape == (40, 1, 28, 28)
    assert fashion.classes[9] == "Ankle boot"
    assert fashion.labels is not None
    assert fashion.labels.tolist() == [i % 10 for i in range(40)]
    # Its published test split is what nobody trains on, whatever share is asked for.
    split = split_dataset(fashion, holdout=0.5)
    assert split.test.tolist() == list(range(30, 40))
    assert split.holdout == 0.25
    assert "came with" in split.method


def test_other_content_is_refused(folder: Path) -> None:
    name = builtin.FASHION_MNIST_FILES[0].name
    (folder / name).write_bytes(gzip.compress(b"something else"))
    with pytest.raises(InvalidDatasetError, match=name) as caught:
        load_builtin("fashion-mnist", folder=folder)
    assert caught.value.code == "dataset.hash_mismatch"


@pytest.mark.parametrize("cut", [0, 5, 300])
def test_damaged_file_is_refused(folder: Path, cut: int) -> None:
    path = folder / builtin.FASHION_MNIST_FILES[0].name
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InvalidDatasetError) as caught:
        load_builtin("fashion-mnist", folder=folder)
    assert caught.value.code in {"dataset.unreadable", "dataset.hash_mismatch"}


def test_missing_file_is_fetched_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / builtin.FASHION_MNIST_FILES[0].name
    mirror = folder / "mirror"
    mirror.mkdir()
    path.rename(mirror / path.name)
    monkeypatch.setattr(builtin, "FASHION_MNIST_URL", mirror.as_uri() + "/")
    assert len(load_builtin("fashion-mnist", folder=folder).images) == 40
    (mirror / path.name).unlink()
    assert len(load_builtin("fashion-mnist", folder=folder).images) == 40


def test_download_that_fails_says_where_to_put_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    (folder / builtin.FASHION_MNIST_FILES[0].name).unlink()
    with pytest.raises(InvalidDatasetError, match="Put train-images") as caught:
        load_builtin("fashion-mnist", folder=folder)
    assert caught.value.code == "dataset.download_failed"

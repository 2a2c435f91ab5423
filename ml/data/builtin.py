"""The data sets that come with the platform: scikit-learn's digits, and Fashion-MNIST from IDX files."""

import gzip
import hashlib
import io
import struct
import urllib.request
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ml.catalog import BUILTIN_DATASETS
from ml.data.packed import PackedDataset
from ml.errors import InvalidDatasetError

DIGITS_PX = 32
DIGITS_MARGIN_PX = 4

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package dataset-fashion-mnist puts its files."""
FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"


class _IdxFile(NamedTuple):
    """A gzipped file, known by what it unpacks to: mirrors compress the same content differently."""

    name: str
    size_bytes: int
    content_sha256: str


FASHION_MNIST_FILES = (
    _IdxFile(
        "train-images-idx3-ubyte.gz",
        16 + 60_000 * 28 * 28,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    _IdxFile(
        "train-labels-idx1-ubyte.gz",
        8 + 60_000,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    _IdxFile(
        "t10k-images-idx3-ubyte.gz",
        16 + 10_000 * 28 * 28,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    _IdxFile(
        "t10k-labels-idx1-ubyte.gz",
        8 + 10_000,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
"""Training images and labels, then those of the test split."""

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load_builtin(name: str, *, folder: Path | None = None) -> PackedDataset:
    """Load a built-in data set.

    Args:
        name: a key of `BUILTIN_DATASETS`.
        folder: where the source files are, for sets that do not come inside a package; missing files
            are fetched into it. None takes the operating system's folder if there is one, else a cache.

    Raises:
        InvalidDatasetError: no such set, or files that are missing, damaged or not the ones we know.
    """
    if name not in BUILTIN_DATASETS:
        raise InvalidDatasetError(
            "dataset.unknown_builtin",
            f"There is no built-in data set {name!r}; there are: {', '.join(BUILTIN_DATASETS)}.",
        )
    if name == "digits":
        return _load_digits()
    return _load_fashion_mnist(folder)


def _source(name: str) -> dict[str, object]:
    dataset = BUILTIN_DATASETS[name]
    return {"builtin": name, "licence": dataset.licence, "origin": dataset.source}


def _load_digits() -> PackedDataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    side = DIGITS_PX - 2 * DIGITS_MARGIN_PX
    images = np.zeros((len(bunch.images), 1, DIGITS_PX, DIGITS_PX), dtype=np.uint8)
    inner = slice(DIGITS_MARGIN_PX, DIGITS_MARGIN_PX + side)
    for i, strokes in enumerate(bunch.images):
        # Ink is stored as 0..16; scaled before resizing so that the curve is smooth in 8 bits.
        small = Image.fromarray(np.round(strokes * (255 / 16)).astype(np.uint8))
        images[i, 0, inner, inner] = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))
    return PackedDataset.create(
        name="digits",
        images=torch.from_numpy(images),
        labels=torch.from_numpy(bunch.target.astype(np.int64)),
        classes=[str(digit) for digit in range(10)],
        source=_source("digits"),
    )


def _load_fashion_mnist(folder: Path | None) -> PackedDataset:
    if folder is None:
        folder = FASHION_MNIST_FOLDER
        if not folder.is_dir():
            folder = Path.home() / ".cache" / "aigc-platform" / "fashion-mnist"
    images, labels, test_images, test_labels = (
        _parse_idx(_read_or_fetch(folder, file), file.name) for file in FASHION_MNIST_FILES
    )
    held_out = torch.zeros(len(images) + len(test_images), dtype=torch.bool)
    held_out[len(images) :] = True
    return PackedDataset.create(
        name="fashion-mnist",
        images=torch.from_numpy(np.concatenate((images, test_images))[:, None]),
        labels=torch.from_numpy(np.concatenate((labels, test_labels)).astype(np.int64)),
        classes=FASHION_MNIST_CLASSES,
        held_out=held_out,
        source=_source("fashion-mnist"),
    )


def _read_or_fetch(folder: Path, file: _IdxFile) -> bytes:
    """Return a file's unpacked content from `folder`, downloading it there first if it is missing."""
    path = folder / file.name
    if path.is_file():
        return _unpack(path.read_bytes(), file, str(path))
    url = FASHION_MNIST_URL + file.name
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - a constant; checked by hash
            packed: bytes = response.read(file.size_bytes + 2**20)
    except OSError as error:
        raise InvalidDatasetError(
            "dataset.download_failed",
            f"{url} could not be fetched ({error}). Put {file.name} into {folder}, or name another folder.",
        ) from error
    content = _unpack(packed, file, url)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed)
    return content


def _unpack(packed: bytes, file: _IdxFile, place: str) -> bytes:
    try:
        with gzip.open(io.BytesIO(packed)) as stream:
            content = stream.read(file.size_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidDatasetError("dataset.unreadable", f"{place} is damaged: {error}.") from error
    if hashlib.sha256(content).hexdigest() != file.content_sha256:
        raise InvalidDatasetError(
            "dataset.hash_mismatch", f"{place} is not the published {file.name}: its SHA-256 differs."
        )
    return content


def _parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes: two zero bytes, type 8, rank, big-endian sizes, data."""
    try:
        zeros, kind, rank = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{rank}I", content, 4)
        if zeros == 0 and kind == 8:
            return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (struct.error, ValueError) as error:
        raise InvalidDatasetError("dataset.unreadable", f"{name} is damaged: {error}.") from error
    raise InvalidDatasetError("dataset.unreadable", f"{name} is not an IDX file of unsigned bytes.")

"""The packed form of an image data set: two files, checked by hash, loaded in one read.

`data.safetensors` holds `images` (uint8 [N, C, H, W]), for labelled data `labels` (int64 [N]), and for data
that came with a test split of its own `held_out` (bool [N]). `manifest.json` says what is in it. Both are the
same bytes for the same data, so equal data has equal hashes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ml.errors import InvalidDatasetError
from ml.files import sha256_of_file, write_json

FORMAT_VERSION = 1
DATA_FILENAME = "data.safetensors"
MANIFEST_FILENAME = "manifest.json"


@dataclass(frozen=True)
class PackedDataset:
    """Images of one size, resident in memory.

    Attributes:
        images: uint8 [N, C, H, W] in [0, 255]; C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
        labels: int64 [N], each below `len(classes)`; None for data without labels.
        classes: names of the classes; empty without labels.
        name: short name for people.
        manifest: what `manifest.json` holds; without `sha256` until the data was saved or loaded.
        held_out: bool [N], the test split that the data came with; None if it came with none.
    """

    images: Tensor
    labels: Tensor | None
    classes: tuple[str, ...]
    name: str
    manifest: dict[str, Any]
    held_out: Tensor | None = None

    @classmethod
    def create(
        cls,
        *,
        name: str,
        images: Tensor,
        labels: Tensor | None = None,
        classes: Sequence[str] = (),
        held_out: Tensor | None = None,
        source: Mapping[str, object] | None = None,
    ) -> Self:
        """Build a data set from tensors and describe it.

        Raises:
            InvalidDatasetError: wrong dtype, shape or labels.
        """
        _check_tensors(images, labels, len(classes))
        _check_held_out(held_out, len(images))
        manifest: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "kind": "images",
            "name": name,
            "count": len(images),
            "shape": list(images.shape[1:]),
            "classes": list(classes),
            "class_counts": [] if labels is None else _class_counts(labels, len(classes)),
            "held_out": 0 if held_out is None else int(held_out.sum()),
            "source": dict(source or {}),
        }
        return cls(images, labels, tuple(classes), name, manifest, held_out)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width in pixels."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @cached_property
    def content_sha256(self) -> str:
        """Hash of pixels, labels, class names and test split: the identity of the data, whatever its name."""
        return _content_sha256(self.images, self.labels, self.classes, self.held_out)

    @cached_property
    def training_sha256(self) -> str:
        """The same without the test split that the data came with: the identity of what may be learned."""
        if self.held_out is None:
            return self.content_sha256
        kept = ~self.held_out
        labels = None if self.labels is None else self.labels[kept]
        return _content_sha256(self.images[kept], labels, self.classes, None)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the two files into `folder` (made if need be) and return the manifest as written."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"images": self.images.contiguous()}
        if self.labels is not None:
            tensors["labels"] = self.labels.contiguous()
        if self.held_out is not None:
            tensors["held_out"] = self.held_out.contiguous()
        save_file(tensors, folder / DATA_FILENAME)
        manifest = {**self.manifest, "sha256": sha256_of_file(folder / DATA_FILENAME)}
        write_json(folder / MANIFEST_FILENAME, manifest)
        return manifest

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a packed data set and check it against its manifest.

        Raises:
            InvalidDatasetError: files missing or changed, or tensors that are not what the manifest says.
        """
        manifest = _read_manifest(folder / MANIFEST_FILENAME)
        data_path = folder / DATA_FILENAME
        if not data_path.is_file():
            raise InvalidDatasetError("dataset.files_missing", f"{data_path} is missing.")
        if sha256_of_file(data_path) != manifest.get("sha256"):
            raise InvalidDatasetError(
                "dataset.hash_mismatch", f"{data_path} does not have the SHA-256 that its manifest states."
            )
        try:
            tensors = load_file(data_path)
        except SafetensorError as error:
            raise InvalidDatasetError("dataset.unreadable", f"{data_path} is damaged: {error}.") from error
        return cls._from_parts(tensors, manifest)

    @classmethod
    def _from_parts(cls, tensors: dict[str, Tensor], manifest: dict[str, Any]) -> Self:
        classes = manifest.get("classes")
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise InvalidDatasetError("dataset.manifest", "The manifest's classes are not a list of names.")
        expected = {"images", "labels"} if classes else {"images"}
        if tensors.keys() - {"held_out"} != expected:
            raise InvalidDatasetError(
                "dataset.tensors", f"The data holds {sorted(tensors)}, expected {sorted(expected)}."
            )
        rebuilt = cls.create(
            name=str(manifest.get("name", "")),
            images=tensors["images"],
            labels=tensors.get("labels"),
            classes=classes,
            held_out=tensors.get("held_out"),
            source=manifest.get("source"),
        )
        stated = {key: manifest.get(key) for key in rebuilt.manifest}
        if stated != rebuilt.manifest:
            wrong = sorted(key for key in stated if stated[key] != rebuilt.manifest[key])
            raise InvalidDatasetError(
                "dataset.manifest", f"The manifest does not describe the data: {', '.join(wrong)} differ."
            )
        rebuilt.manifest["sha256"] = manifest["sha256"]
        return rebuilt


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidDatasetError("dataset.files_missing", f"{path} is missing.") from None
    except ValueError as error:
        raise InvalidDatasetError("dataset.manifest", f"{path} is not JSON: {error}.") from None
    if not isinstance(manifest, dict):
        raise InvalidDatasetError("dataset.manifest", f"{path} does not hold a JSON object.")
    if manifest.get("format") != FORMAT_VERSION:
        raise InvalidDatasetError(
            "dataset.manifest",
            f"{path} has format {manifest.get('format')!r}; this version reads format {FORMAT_VERSION}.",
        )
    return manifest


def _check_tensors(images: Tensor, labels: Tensor | None, class_count: int) -> None:
    if (
        images.dtype != torch.uint8
        or images.ndim != 4
        or images.shape[1] not in range(1, 5)
        or not len(images)
    ):
        raise InvalidDatasetError(
            "dataset.tensors",
            f"Images must be uint8 [N, 1 to 4, H, W]; these are {images.dtype} {list(images.shape)}.",
        )
    if (labels is None) != (class_count == 0):
        raise InvalidDatasetError("dataset.tensors", "Labels and class names come together or not at all.")
    if labels is None:
        return
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise InvalidDatasetError(
            "dataset.tensors",
            f"Labels must be int64 [{len(images)}]; these are {labels.dtype} {list(labels.shape)}.",
        )
    if int(labels.min()) < 0 or int(labels.max()) >= class_count:
        raise InvalidDatasetError(
            "dataset.tensors", f"Labels must lie in 0..{class_count - 1}, the number of class names less one."
        )


def _check_held_out(held_out: Tensor | None, count: int) -> None:
    if held_out is None:
        return
    if held_out.dtype != torch.bool or held_out.shape != (count,):
        raise InvalidDatasetError(
            "dataset.tensors",
            f"The test split must be bool [{count}]; it is {held_out.dtype} {list(held_out.shape)}.",
        )
    if bool(held_out.all()):
        raise InvalidDatasetError("dataset.tensors", "The test split leaves no image to learn from.")


def _content_sha256(
    images: Tensor, labels: Tensor | None, classes: Sequence[str], held_out: Tensor | None
) -> str:
    digest = hashlib.sha256()
    head: dict[str, Any] = {
        "shape": list(images.shape),
        "classes": list(classes),
        "labels": labels is not None,
    }
    if held_out is not None:
        head["held_out"] = True
    digest.update(json.dumps(head, sort_keys=True).encode())
    for part in (images, labels, held_out):
        if part is not None:
            digest.update(part.contiguous().numpy().data)
    return digest.hexdigest()


def _class_counts(labels: Tensor, class_count: int) -> list[int]:
    return [int(count) for count in torch.bincount(labels, minlength=class_count)]

"""From an uploaded archive to a packed data set: check every file, then decode every image to one size."""

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from ml.catalog import MAX_IMAGE_PX, MIN_IMAGE_PX
from ml.data.decode import ImageRefusedError, decode_image, inspect_image
from ml.data.members import ArchiveLimits, Member, is_unsafe, iterate_members
from ml.data.packed import PackedDataset
from ml.errors import FileError, InvalidDatasetError
from ml.files import sha256_of_file

__all__ = ["ArchiveLimits", "pack_archive"]

IMAGE_SIZES_PX = (8, 16, 28, 32, 48, 64)
"""Sizes that networks like; without an explicit size the nearest one is taken. Larger ones must be asked for:
training time grows with the square."""
MOST_ERRORS = 100
LONGEST_CLASS_NAME = 100

_CLUTTER_FOLDERS = frozenset({"__MACOSX"})
_CLUTTER_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class _Found:
    """An image that passed inspection: its place among the members, its folder, its shorter side."""

    position: int
    folder: tuple[str, ...]
    short_side_px: int


class _Errors:
    """Collects what is wrong with single files, and gives up when that is plenty."""

    def __init__(self) -> None:
        self.found: list[FileError] = []

    def add(self, name: str, code: str, message: str) -> None:
        self.found.append({"file": _printable(name), "code": code, "message": message})
        if len(self.found) >= MOST_ERRORS:
            self.raise_if_any()

    def raise_if_any(self) -> None:
        if not self.found:
            return
        codes = {error["code"] for error in self.found}
        first = self.found[0]
        count = len(self.found)
        rest = (
            "" if count == 1 else f" {count - 1}{'+' if count >= MOST_ERRORS else ''} more files are listed."
        )
        raise InvalidDatasetError(
            codes.pop() if len(codes) == 1 else "dataset.invalid_files",
            f"{first['file']}: {first['message']}{rest}",
            self.found,
        )


def pack_archive(
    path: Path,
    *,
    image_px: int | None = None,
    require_labels: bool = False,
    limits: ArchiveLimits = ArchiveLimits(),  # noqa: B008 - frozen, so one shared default is safe
    name: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PackedDataset:
    """Read an archive of images: in one folder a class, or all in one place for data without labels.

    The archive is read twice, once to check names, formats and sizes, once to decode; memory holds the
    packed result and one file. A folder around everything is allowed. Grey images stay grey when all are.

    Args:
        path: a zip, tar or tar.gz file.
        image_px: width and height of the result; None takes the usual size nearest to the images'.
        require_labels: refuse data without class folders.
        limits: against bombs.
        name: of the data set; None takes the file's.
        on_progress: called now and then with images decoded and images in all.

    Raises:
        InvalidDatasetError: with a `dataset.…` code, and up to 100 entries in `errors` where single files
            are at fault.
    """
    if image_px is not None and not MIN_IMAGE_PX <= image_px <= MAX_IMAGE_PX:
        raise InvalidDatasetError(
            "dataset.image_px",
            f"Images can be packed at {MIN_IMAGE_PX} to {MAX_IMAGE_PX} px, not {image_px}.",
        )
    errors = _Errors()
    found = _inspect_all(path, limits, errors)
    if not found:
        errors.raise_if_any()
        raise InvalidDatasetError("dataset.empty", f"{path.name} holds no images.")
    px = image_px or _usual_size(found)
    images = _decode_all(path, limits, found, px, errors, on_progress)
    errors.raise_if_any()
    labels, classes = _labels_of(found, require_labels, limits.max_classes)
    return PackedDataset.create(
        name=name or path.name.split(".")[0],
        images=torch.from_numpy(images),
        labels=labels,
        classes=classes,
        source={"archive_sha256": sha256_of_file(path)},
    )


def _inspect_all(path: Path, limits: ArchiveLimits, errors: _Errors) -> list[_Found]:
    found = []
    for position, member in enumerate(iterate_members(path, limits)):
        if is_unsafe(member.name):
            errors.add(
                member.name, "dataset.unsafe_path", "This name is absolute or leads out of the archive."
            )
        elif member.kind == "link":
            errors.add(member.name, "dataset.link_member", "Links and devices are not allowed, only files.")
        elif member.kind == "file" and not _is_clutter(member.name):
            try:
                found.append(_inspect(position, member, limits))
            except ImageRefusedError as error:
                errors.add(member.name, error.code, error.message)
    return found


def _inspect(position: int, member: Member, limits: ArchiveLimits) -> _Found:
    width, height = inspect_image(member.read(), member.name, max_pixels=limits.max_image_pixels)
    folder = PurePosixPath(member.name.replace("\\", "/")).parts[:-1]
    return _Found(position, tuple(folder), min(width, height))


def _decode_all(
    path: Path,
    limits: ArchiveLimits,
    found: list[_Found],
    px: int,
    errors: _Errors,
    on_progress: Callable[[int, int], None] | None,
) -> NDArray[np.uint8]:
    """Decode the inspected images: uint8 [N, C, px, px], C = 1 when every image is grey."""
    images = np.empty((len(found), 3, px, px), dtype=np.uint8)
    rows = {image.position: row for row, image in enumerate(found)}
    has_colour = False
    for position, member in enumerate(iterate_members(path, limits)):
        row = rows.get(position)
        if row is None:
            continue
        try:
            pixels = decode_image(member.read(), px)
        except ImageRefusedError as error:
            errors.add(member.name, error.code, error.message)
            continue
        images[row] = pixels.transpose(2, 0, 1)
        has_colour = has_colour or bool((pixels != pixels[:, :, :1]).any())
        if on_progress and row % 100 == 99:
            on_progress(row + 1, len(found))
    return images if has_colour else np.ascontiguousarray(images[:, :1])


def _labels_of(
    found: list[_Found], require_labels: bool, max_classes: int
) -> tuple[torch.Tensor | None, list[str]]:
    """Classes from folder names, once a folder around everything is taken off."""
    folders = {image.folder for image in found}
    shared = _shared_parents(folders)
    inner = {folder[shared:] for folder in folders}
    if inner == {()}:
        if require_labels:
            _refuse_unlabelled(folders)
        return None, []
    if () in inner:
        raise InvalidDatasetError(
            "dataset.labels_missing",
            "Some images are in class folders and some are not. Put every image into the folder of its class, "
            "or all of them into one place.",
        )
    if any(len(folder) > 1 for folder in inner):
        raise InvalidDatasetError(
            "dataset.nested_folders",
            "Class folders hold folders of their own. Put the images of a class directly into its folder.",
        )
    classes = sorted(_printable(folder[0]) for folder in inner)
    if len(classes) > max_classes:
        raise InvalidDatasetError(
            "dataset.too_many_classes", f"There are {len(classes):,} class folders; at most {max_classes:,}."
        )
    if any(not label or len(label) > LONGEST_CLASS_NAME for label in classes) or len(set(classes)) < len(
        inner
    ):
        raise InvalidDatasetError(
            "dataset.class_name",
            f"Class folders need different printable names of at most {LONGEST_CLASS_NAME} characters.",
        )
    index = {label: i for i, label in enumerate(classes)}
    labels = [index[_printable(image.folder[shared])] for image in found]
    return torch.tensor(labels, dtype=torch.int64), classes


def _refuse_unlabelled(folders: set[tuple[str, ...]]) -> None:
    (folder,) = folders
    if folder:
        raise InvalidDatasetError(
            "dataset.single_class",
            f"All images are in one folder, {_printable(folder[-1])!r}; labels need at least two classes.",
        )
    raise InvalidDatasetError(
        "dataset.labels_missing", "The images are not in class folders; put each class into its own folder."
    )


def _shared_parents(folders: set[tuple[str, ...]]) -> int:
    """How many leading folders all images share."""
    first = min(folders, key=len)
    for depth in range(len(first)):
        if len({folder[depth] for folder in folders}) > 1:
            return depth
    return len(first)


def _usual_size(found: list[_Found]) -> int:
    """The usual size nearest, as a ratio, to the median shorter side."""
    typical = median(image.short_side_px for image in found)
    return min(IMAGE_SIZES_PX, key=lambda px: abs(math.log(px / typical)))


def _is_clutter(name: str) -> bool:
    """Files that operating systems leave in archives."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return bool(parts) and (
        not _CLUTTER_FOLDERS.isdisjoint(parts) or parts[-1] in _CLUTTER_FILES or parts[-1].startswith("._")
    )


def _printable(name: str) -> str:
    """A name without control characters, in one Unicode form, short enough to show."""
    normal = unicodedata.normalize("NFC", name).strip()
    return "".join(c if c.isprintable() else "\ufffd" for c in normal)[:200]

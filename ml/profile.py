"""What a data set is like, before time is spent on it: sizes, duplicates, class balance, and what to expect.

A generator repeats the biases and gaps of its data, so they are named at the start of a run and in the
model card.
"""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ml.data.packed import PackedDataset

FEW_IMAGES = 1_000
"""Below this a discriminator remembers the images instead of learning what they share."""
SMALL_SET = 5_000
IMBALANCE = 10
"""Largest class over smallest from which on the small one suffers visibly."""
SHARE_WORTH_A_WARNING = 0.01
NEAR_DUPLICATES_CHECKED = 1_000
NEAR_GREY_LEVELS = 3.0
"""Two images this close on average, of 255, differ by compression or a retouch."""
_POOLED_PX = 8
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class DataWarning:
    """One thing to know about the data: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DataProfile:
    """Facts about a data set.

    Attributes:
        count: images.
        width: pixels.
        height: pixels.
        channels: 1 or 3.
        distinct: images left when exact copies are dropped.
        near_duplicate_share: share of the images that have another, not equal but hardly different, beside
            them; measured on `near_duplicates_checked` images.
        near_duplicates_checked: images that this was measured on.
        single_colour: images without any structure.
        class_counts: images by class name; empty without labels.
        warnings: what to expect from such data.
    """

    count: int
    width: int
    height: int
    channels: int
    distinct: int
    near_duplicate_share: float
    near_duplicates_checked: int
    single_colour: int
    class_counts: dict[str, int]
    warnings: tuple[DataWarning, ...]

    @property
    def exact_duplicates(self) -> int:
        """Images that are copies of an earlier one."""
        return self.count - self.distinct

    def as_json(self) -> dict[str, Any]:
        """The profile as plain values."""
        return {**asdict(self), "warnings": [asdict(warning) for warning in self.warnings]}


def profile_dataset(dataset: PackedDataset) -> DataProfile:
    """Look at every image once, and at up to 1,000 of them for near copies. Deterministic."""
    images = dataset.images
    channels, height, width = dataset.image_shape
    flat = images.flatten(1)
    distinct_rows = _first_of_each(flat)
    near, checked = _near_duplicates(images[distinct_rows])
    labels = dataset.labels
    class_counts: dict[str, int] = {}
    if labels is not None:
        counts = torch.bincount(labels, minlength=len(dataset.classes)).tolist()
        class_counts = dict(zip(dataset.classes, counts, strict=True))
    facts = DataProfile(
        count=len(images),
        width=width,
        height=height,
        channels=channels,
        distinct=len(distinct_rows),
        near_duplicate_share=round(near / max(checked, 1), 4),
        near_duplicates_checked=checked,
        single_colour=int(_is_single_colour(images).sum()),
        class_counts=class_counts,
        warnings=(),
    )
    return DataProfile(
        **{name: getattr(facts, name) for name in DataProfile.__slots__ if name != "warnings"},
        warnings=tuple(_warnings(facts)),
    )


def _first_of_each(rows: Tensor) -> Tensor:
    """Indices of the rows that no earlier row equals, int64."""
    seen: dict[bytes, int] = {}
    for index, row in enumerate(rows.numpy()):
        seen.setdefault(hashlib.blake2b(row.data, digest_size=16).digest(), index)
    return torch.tensor(sorted(seen.values()), dtype=torch.int64)


def _is_single_colour(images: Tensor) -> Tensor:
    """Whether each channel of an image is one value throughout: bool [N]."""
    by_channel = images.flatten(2)
    return (by_channel.amax(dim=2) == by_channel.amin(dim=2)).all(dim=1)


def _near_duplicates(images: Tensor) -> tuple[int, int]:
    """(how many of the checked images have a near copy, how many were checked)."""
    count = len(images)
    if count < 2:
        return 0, count
    checked = min(count, NEAR_DUPLICATES_CHECKED)
    picked = torch.linspace(0, count - 1, checked).long()
    small = torch.cat([_pooled(chunk) for chunk in torch.split(images, _CHUNK * 8)])
    squares = small.square().sum(dim=1)
    found = 0
    for rows in torch.split(picked, _CHUNK):
        distances = squares - 2 * small[rows] @ small.T
        distances[torch.arange(len(rows)), rows] = torch.inf
        nearest = distances.argmin(dim=1)
        difference = (images[rows].float() - images[nearest].float()).abs().flatten(1).mean(dim=1)
        found += int((difference <= NEAR_GREY_LEVELS).sum())
    return found, checked


def _pooled(images: Tensor) -> Tensor:
    """Coarse versions to search in, float32 [N, C * 64]; distances there are below those of the images."""
    side = min(_POOLED_PX, images.shape[-1])
    return adaptive_avg_pool2d(images.float(), side).flatten(1)


def _warnings(facts: DataProfile) -> list[DataWarning]:
    warnings = []

    def warn(code: str, message: str) -> None:
        warnings.append(DataWarning(code, message))

    if facts.distinct == 1:
        warn("all_equal", "All images are equal: there is nothing to learn but this one image.")
    if facts.distinct < FEW_IMAGES:
        warn(
            "few_images",
            f"{facts.distinct:,} different images are few: expect near copies of them and little variety. "
            "The recipe few-shot is made for such sets.",
        )
    elif facts.distinct < SMALL_SET:
        warn(
            "small_set",
            f"{facts.distinct:,} different images make a small set: on long runs set augment_probability.",
        )
    _warn_of_shares(facts, warn_list=warnings)
    if facts.class_counts:
        _warn_of_classes(facts.class_counts, warn_list=warnings)
    return warnings


def _warn_of_shares(facts: DataProfile, *, warn_list: list[DataWarning]) -> None:
    copies = facts.exact_duplicates / facts.count
    if copies > SHARE_WORTH_A_WARNING and facts.distinct > 1:
        message = f"{facts.exact_duplicates:,} images ({copies:.0%}) are exact copies of others: they count "
        warn_list.append(DataWarning("exact_duplicates", message + "several times in what is learned."))
    if facts.near_duplicate_share > SHARE_WORTH_A_WARNING:
        message = f"{facts.near_duplicate_share:.0%} of the images have a near copy beside them."
        warn_list.append(DataWarning("near_duplicates", message))
    blank = facts.single_colour / facts.count
    if blank > SHARE_WORTH_A_WARNING:
        message = f"{facts.single_colour:,} images ({blank:.0%}) are one flat colour."
        warn_list.append(DataWarning("single_colour", message))


def _warn_of_classes(counts: dict[str, int], *, warn_list: list[DataWarning]) -> None:
    empty = [name for name, count in counts.items() if count == 0]
    present = {name: count for name, count in counts.items() if count}
    if empty:
        names = ", ".join(empty[:10])
        message = f"No image has the class {names}: samples of it will be noise."
        warn_list.append(DataWarning("empty_class", message))
    if present:
        smallest, largest = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
        if present[largest] > IMBALANCE * present[smallest]:
            message = (
                f"{largest} has {present[largest]:,} images and {smallest} {present[smallest]:,}: "
                "expect the small class to come out worse and, without labels, rarely."
            )
            warn_list.append(DataWarning("class_imbalance", message))

"""What a data set is like, before time is spent on it: sizes, duplicates, leakage, class balance, what to expect.

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
from ml.data.split import Split

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
        channels: 1 for grey, 3 for RGB; 2 and 4 with alpha.
        distinct: images left when exact copies are dropped.
        near_duplicate_share: share of the images that have another, not equal but hardly different, beside
            them; measured on `near_duplicates_checked` images.
        near_duplicates_checked: images that this was measured on.
        single_colour: images without any structure.
        held_out: images that training does not see.
        leaked: of those, how many equal an image of the training side.
        nearly_leaked: how many of `leaks_checked` held-out images have a near copy on the training side.
        class_counts: images by class name; empty without labels.
        classes_held_out: classes all of whose images are held out.
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
    held_out: int
    leaked: int
    nearly_leaked: int
    leaks_checked: int
    class_counts: dict[str, int]
    classes_held_out: tuple[str, ...]
    warnings: tuple[DataWarning, ...]

    @property
    def exact_duplicates(self) -> int:
        """Images that are copies of an earlier one."""
        return self.count - self.distinct

    def as_json(self) -> dict[str, Any]:
        """The profile as plain values."""
        return {
            **asdict(self),
            "classes_held_out": list(self.classes_held_out),
            "warnings": [asdict(warning) for warning in self.warnings],
        }


def profile_dataset(dataset: PackedDataset, split: Split | None = None) -> DataProfile:
    """Look at every image once, and at up to 1,000 of each side for near copies. Deterministic.

    Args:
        dataset: what to look at.
        split: what of it is held out; None is nothing.
    """
    images = dataset.images
    channels, height, width = dataset.image_shape
    original = _originals(images.flatten(1))
    distinct_rows = torch.unique(original)
    small = torch.cat([_pooled(chunk) for chunk in torch.split(images, _CHUNK * 8)])
    near, checked = _near_duplicates(images, small, distinct_rows)
    nothing = torch.empty(0, dtype=torch.int64)
    train, test = (torch.arange(len(images)), nothing) if split is None else (split.train, split.test)
    is_leaked = torch.isin(original[test], original[train])
    nearly_leaked, leaks_checked = _near_leaks(images, small, train, test[~is_leaked])
    class_counts = _class_counts(dataset, torch.arange(len(images)))
    left = _class_counts(dataset, train)
    facts = DataProfile(
        count=len(images),
        width=width,
        height=height,
        channels=channels,
        distinct=len(distinct_rows),
        near_duplicate_share=round(near / max(checked, 1), 4),
        near_duplicates_checked=checked,
        single_colour=int(_is_single_colour(images).sum()),
        held_out=len(test),
        leaked=int(is_leaked.sum()),
        nearly_leaked=nearly_leaked,
        leaks_checked=leaks_checked,
        class_counts=class_counts,
        classes_held_out=tuple(name for name, count in class_counts.items() if count and not left[name]),
        warnings=(),
    )
    return DataProfile(
        **{name: getattr(facts, name) for name in DataProfile.__slots__ if name != "warnings"},
        warnings=tuple(_warnings(facts)),
    )


def _originals(rows: Tensor) -> Tensor:
    """For each row the index of the first that equals it, int64 [N]."""
    seen: dict[bytes, int] = {}
    hashed = (hashlib.blake2b(row.data, digest_size=16).digest() for row in rows.contiguous().numpy())
    return torch.tensor([seen.setdefault(key, index) for index, key in enumerate(hashed)])


def _class_counts(dataset: PackedDataset, side: Tensor) -> dict[str, int]:
    """Images by class name among those at these positions; empty without labels."""
    if dataset.labels is None:
        return {}
    counts = torch.bincount(dataset.labels[side], minlength=len(dataset.classes)).tolist()
    return dict(zip(dataset.classes, counts, strict=True))


def _is_single_colour(images: Tensor) -> Tensor:
    """Whether each channel of an image is one value throughout: bool [N]."""
    by_channel = images.flatten(2)
    return (by_channel.amax(dim=2) == by_channel.amin(dim=2)).all(dim=1)


def _near_duplicates(images: Tensor, small: Tensor, distinct: Tensor) -> tuple[int, int]:
    """(how many of the checked images have a near copy, how many were checked) among different ones."""
    if len(distinct) < 2:
        return 0, len(distinct)
    picked = _some(distinct)
    return int(_has_near(images, small, picked, distinct).sum()), len(picked)


def _near_leaks(images: Tensor, small: Tensor, train: Tensor, test: Tensor) -> tuple[int, int]:
    """(how many of the checked held-out images have a near copy in training, how many were checked)."""
    picked = _some(test)
    return int(_has_near(images, small, picked, train).sum()), len(picked)


def _some(rows: Tensor) -> Tensor:
    """At most 1,000 of these positions, evenly spread."""
    if not len(rows):
        return rows
    return rows[torch.linspace(0, len(rows) - 1, min(len(rows), NEAR_DUPLICATES_CHECKED)).long()]


def _has_near(images: Tensor, small: Tensor, rows: Tensor, among: Tensor) -> Tensor:
    """Whether each of `rows` has another image among `among` that hardly differs: bool.

    Args:
        images: uint8 [N, C, H, W].
        small: their coarse versions, in which the nearest one is looked for.
        rows: positions to judge.
        among: positions to search; a row is never its own copy.
    """
    found = [torch.empty(0, dtype=torch.bool)]
    searched = small[among]
    squares = searched.square().sum(dim=1)
    for part in torch.split(rows, _CHUNK):
        distances = squares - 2 * small[part] @ searched.T
        distances[part[:, None] == among] = torch.inf
        nearest = among[distances.argmin(dim=1)]
        difference = (images[part].float() - images[nearest].float()).abs().flatten(1).mean(dim=1)
        found.append(difference <= NEAR_GREY_LEVELS)
    return torch.cat(found)


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
    _warn_of_leaks(facts, warn_list=warnings)
    if facts.class_counts:
        _warn_of_classes(facts, warn_list=warnings)
    return warnings


def _warn_of_leaks(facts: DataProfile, *, warn_list: list[DataWarning]) -> None:
    if facts.leaked:
        message = (
            f"{facts.leaked:,} of {facts.held_out:,} held-out images equal an image of the training side: figures "
            "measured on them flatter a generator that memorises."
        )
        warn_list.append(DataWarning("leakage", message))
    if facts.nearly_leaked > SHARE_WORTH_A_WARNING * facts.leaks_checked:
        message = (
            f"{facts.nearly_leaked:,} of {facts.leaks_checked:,} held-out images looked at have a near copy on the "
            "training side: figures measured on them flatter a generator that memorises."
        )
        warn_list.append(DataWarning("near_leakage", message))


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


def _warn_of_classes(facts: DataProfile, *, warn_list: list[DataWarning]) -> None:
    counts = facts.class_counts
    if facts.classes_held_out:
        names = ", ".join(facts.classes_held_out[:10])
        message = f"All images of the class {names} are held out: samples of it will be noise."
        warn_list.append(DataWarning("class_held_out", message))
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

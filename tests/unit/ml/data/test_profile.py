"""What the data profile finds in data whose faults are known."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from ml.data.packed import PackedDataset
from ml.data.profile import profile_dataset
from ml.data.split import split_dataset


def noise(count: int, px: int = 8, channels: int = 1) -> Tensor:
    rng = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, channels, px, px), generator=rng, dtype=torch.uint8)


def dataset(images: Tensor, labels: Tensor | None = None, classes: tuple[str, ...] = ()) -> PackedDataset:
    return PackedDataset.create(name="data", images=images, labels=labels, classes=classes)


def codes(data: PackedDataset) -> list[str]:
    return [warning.code for warning in profile_dataset(data).warnings]


def test_clean_large_set_has_no_warnings() -> None:
    profile = profile_dataset(dataset(noise(6_000, channels=3)))
    assert (profile.count, profile.width, profile.height, profile.channels) == (6_000, 8, 8, 3)
    assert (profile.distinct, profile.exact_duplicates, profile.single_colour) == (6_000, 0, 0)
    assert profile.near_duplicate_share == 0
    assert profile.near_duplicates_checked == 1_000
    assert profile.warnings == ()


@pytest.mark.parametrize(("count", "expected"), [(999, ["few_images"]), (1_000, ["small_set"]), (5_000, [])])
def test_small_sets_are_named(count: int, expected: list[str]) -> None:
    assert codes(dataset(noise(count))) == expected


def test_exact_copies_are_counted() -> None:
    images = torch.cat((noise(900), noise(900)[:100]))
    profile = profile_dataset(dataset(images))
    assert profile.distinct == 900
    assert profile.exact_duplicates == 100
    assert profile.near_duplicate_share == 0  # exact copies are not counted twice
    assert "exact_duplicates" in [warning.code for warning in profile.warnings]


def test_near_copies_are_found_and_mere_likeness_is_not() -> None:
    originals = (noise(100, px=16) // 2) + 60
    jitter = torch.randint(-2, 3, originals.shape, generator=torch.Generator().manual_seed(1))
    near = (originals[:30].int() + jitter[:30]).to(torch.uint8)
    profile = profile_dataset(dataset(torch.cat((originals, near))))
    assert profile.near_duplicates_checked == 130
    assert profile.near_duplicate_share == pytest.approx(60 / 130, abs=1e-4)
    # The same coarse picture with other details is no copy.
    checker = torch.tensor([0, 90], dtype=torch.uint8).repeat(8)
    inverse = checker.flip(0)
    likeness = torch.stack((checker.repeat(16, 1), inverse.repeat(16, 1)))[:, None]
    assert profile_dataset(dataset(likeness)).near_duplicate_share == 0


def test_all_equal_and_flat_images() -> None:
    found = codes(dataset(torch.full((20, 3, 8, 8), 7, dtype=torch.uint8)))
    assert found == ["all_equal", "few_images", "single_colour"]


def test_class_balance() -> None:
    labels = torch.tensor([0] * 90 + [2] * 8)
    data = dataset(noise(98), labels, ("many", "none", "rare"))
    profile = profile_dataset(data)
    assert profile.class_counts == {"many": 90, "none": 0, "rare": 8}
    messages = {warning.code: warning.message for warning in profile.warnings}
    assert "none" in messages["empty_class"]
    assert "rare 8" in messages["class_imbalance"]
    assert "class_imbalance" not in codes(dataset(noise(88), torch.tensor([0] * 80 + [1] * 8), ("a", "b")))


def with_test_split(images: Tensor, held_out: int, **labels: Any) -> PackedDataset:
    """The last images are the test split that the data came with."""
    own = torch.arange(len(images)) >= len(images) - held_out
    return PackedDataset.create(name="data", images=images, held_out=own, **labels)


def test_copies_across_the_split_are_leaks() -> None:
    originals = (noise(100, px=16) // 2) + 60
    near = originals[10:15] + 1
    data = with_test_split(torch.cat((originals, noise(20, px=16), originals[:4], near)), 29)
    profile = profile_dataset(data, split_dataset(data))
    assert (profile.held_out, profile.leaked) == (29, 4)
    assert (profile.nearly_leaked, profile.leaks_checked) == (5, 25)  # exact copies are not counted twice
    messages = {warning.code: warning.message for warning in profile.warnings}
    assert messages["leakage"].startswith("4 of 29 held-out images equal")
    assert messages["near_leakage"].startswith("5 of 25")


def test_a_split_by_pixels_keeps_exact_copies_together() -> None:
    data = dataset(noise(300).repeat(2, 1, 1, 1))
    profile = profile_dataset(data, split_dataset(data, holdout=0.3))
    assert profile.held_out > 100
    assert profile.leaked == profile.nearly_leaked == 0
    assert profile_dataset(data).held_out == 0


def test_a_class_that_training_never_sees_is_named() -> None:
    labels = torch.tensor([0] * 60 + [1] * 10)
    data = with_test_split(noise(70), 10, labels=labels, classes=("kept", "lost"))
    profile = profile_dataset(data, split_dataset(data))
    assert profile.classes_held_out == ("lost",)
    assert profile.class_counts == {"kept": 60, "lost": 10}
    assert "class_held_out" in [warning.code for warning in profile.warnings]


def test_profile_is_plain_json() -> None:
    plain: dict[str, Any] = profile_dataset(dataset(noise(20))).as_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["warnings"][0]["code"] == "few_images"

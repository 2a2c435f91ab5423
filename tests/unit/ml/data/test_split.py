"""The split depends on each image alone: on its pixels, not on its place or its neighbours."""

import pytest
import torch

from ml.data.packed import PackedDataset
from ml.data.split import Split, split_dataset
from ml.errors import InvalidDatasetError

RNG = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (2000, 1, 4, 4), generator=RNG, dtype=torch.uint8)


def dataset(images: torch.Tensor) -> PackedDataset:
    return PackedDataset.create(name="noise", images=images)


def held_out(images: torch.Tensor, split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in images[split.test]}


def test_both_sides_together_are_everything_once() -> None:
    split = split_dataset(dataset(IMAGES), holdout=0.1)

    assert torch.equal(torch.cat([split.train, split.test]).sort().values, torch.arange(2000))
    assert len(split.test) == pytest.approx(200, abs=4 * (2000 * 0.1 * 0.9) ** 0.5)


def test_is_the_same_on_every_machine_and_in_every_version() -> None:
    """Anything else would put images on other sides than when a stored network was trained."""
    split = split_dataset(dataset(torch.arange(32, dtype=torch.uint8).view(32, 1, 1, 1)), holdout=0.25)

    assert split.test.tolist() == [0, 3, 6, 13, 24, 25, 29]


def test_order_and_other_images_do_not_matter() -> None:
    everything = held_out(IMAGES, split_dataset(dataset(IMAGES)))
    reversed_half = IMAGES[:1000].flip(0)

    assert held_out(reversed_half, split_dataset(dataset(reversed_half))) == everything & {
        image.numpy().tobytes() for image in reversed_half
    }


def test_exact_copies_stay_together() -> None:
    copies = IMAGES[:50].repeat(3, 1, 1, 1)
    split = split_dataset(dataset(copies), holdout=0.4)

    assert held_out(copies, split).isdisjoint(image.numpy().tobytes() for image in copies[split.train])


def test_a_larger_share_contains_the_smaller_and_another_seed_does_not() -> None:
    data = dataset(IMAGES)
    small, large = (set(split_dataset(data, holdout=share).test.tolist()) for share in (0.1, 0.3))

    assert small < large
    assert not small <= set(split_dataset(data, holdout=0.3, seed=1).test.tolist())


def test_holding_nothing_out_is_allowed() -> None:
    split = split_dataset(dataset(IMAGES[:10]), holdout=0.0)

    assert split.train.tolist() == list(range(10))
    assert split.test.tolist() == []


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_refuses_a_share_out_of_range(share: float) -> None:
    with pytest.raises(InvalidDatasetError, match="at least 0 and below 1"):
        split_dataset(dataset(IMAGES[:10]), holdout=share)


def test_refuses_to_leave_nothing_to_train_on() -> None:
    with pytest.raises(InvalidDatasetError, match="leaves none to train on"):
        split_dataset(dataset(torch.zeros(5, 1, 4, 4, dtype=torch.uint8)), holdout=0.999999)

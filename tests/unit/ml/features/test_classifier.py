"""The recipe of the feature networks: learns, repeats itself exactly, keeps images apart."""

import pytest
import torch

from ml.data.packed import PackedDataset
from ml.features.classifier import (
    ClassifierSpec,
    SmallClassifier,
    calibrate,
    features_of,
    fit_classifier,
    network_px,
    predict,
)
from ml.features.images import BATCH

SPEC = ClassifierSpec(px=8, channels=1, classes=2, width=4)


def fit(dataset: PackedDataset, *, seed: int = 0) -> SmallClassifier:
    assert dataset.labels is not None
    return fit_classifier(dataset.images, dataset.labels, SPEC, images_shown=2000, seed=seed)


def test_learns_classes_that_can_be_told_apart(striped_dataset: PackedDataset) -> None:
    network = fit(striped_dataset)

    assert striped_dataset.labels is not None
    assert torch.equal(predict(network, striped_dataset.images), striped_dataset.labels)


def test_equal_seeds_give_equal_weights_and_the_global_generator_is_left_alone(
    striped_dataset: PackedDataset,
) -> None:
    torch.manual_seed(3)
    expected_next = torch.rand(1)
    torch.manual_seed(3)

    first, second, other = (fit(striped_dataset, seed=seed).state_dict() for seed in (0, 0, 1))

    assert torch.equal(torch.rand(1), expected_next)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.2.weight"], other["head.2.weight"])


def test_features_of_an_image_do_not_depend_on_its_neighbours(striped_dataset: PackedDataset) -> None:
    network = fit(striped_dataset)
    many = striped_dataset.images.repeat(BATCH // 48 + 2, 1, 1, 1)

    together = features_of(network, many)

    assert together.shape == (len(many), 16)
    assert together[:48].allclose(features_of(network, striped_dataset.images), rtol=1e-4, atol=1e-5)
    assert together[BATCH].allclose(features_of(network, many[BATCH : BATCH + 1])[0], rtol=1e-4, atol=1e-5)


def test_calibrated_features_are_centred_and_of_mean_square_one(striped_dataset: PackedDataset) -> None:
    network = fit(striped_dataset)
    before = predict(network, striped_dataset.images)
    calibrate(network, striped_dataset.images)
    calibrate(network, striped_dataset.images)

    found = features_of(network, striped_dataset.images)

    assert found.mean(0).abs().max() < 1e-4
    assert found.square().mean() == pytest.approx(1, rel=1e-4)
    assert torch.equal(predict(network, striped_dataset.images), before)


@pytest.mark.parametrize(("px", "channels"), [(8, 3), (17, 1), (32, 3)])
def test_takes_other_sizes_and_colours(px: int, channels: int) -> None:
    spec = ClassifierSpec(network_px(px), channels, classes=3, width=4)
    images = torch.zeros(5, channels, 40, 36, dtype=torch.uint8)

    assert features_of(SmallClassifier(spec).eval(), images).shape == (5, 16)

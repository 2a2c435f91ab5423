"""Which extractor is taken, and that the shipped ones are what they say they are."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ml.catalog import SHIPPED_EXTRACTORS
from ml.data.builtin import load_builtin
from ml.data.packed import PackedDataset
from ml.data.split import split_dataset
from ml.errors import MlError
from ml.features.classifier import predict
from ml.features.extractor import ClassifierExtractor, FeatureExtractor
from ml.features.pixels import PixelExtractor
from ml.features.registry import EXTRACTORS, Entry, ExtractorRegistry
from ml.features.train import train_feature_network
from ml.features.weights import save_network

SHIPPED = sorted(path.name for path in files("ml.features").joinpath("shipped").iterdir())


def noise(count: int, channels: int, px: int) -> PackedDataset:
    images = torch.randint(
        0, 256, (count, channels, px, px), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    return PackedDataset.create(name="noise", images=images)


def chosen(dataset: PackedDataset, wanted: str | None = None) -> tuple[FeatureExtractor, str]:
    choice = EXTRACTORS.choose(dataset, split_dataset(dataset), wanted=wanted)
    return choice.extractor, choice.reason


def test_digits_get_their_own_network_which_is_as_good_as_it_says() -> None:
    digits = load_builtin("digits")
    extractor, reason = chosen(digits)

    assert "trained on the training side of digits" in reason
    assert isinstance(extractor, ClassifierExtractor)
    assert extractor.document.classes == digits.classes
    assert extractor.document.dataset_sha256 == digits.content_sha256
    test = split_dataset(digits, holdout=extractor.document.holdout).test
    assert digits.labels is not None
    accuracy = (predict(extractor.network, digits.images[test]) == digits.labels[test]).double().mean()
    assert float(accuracy) == pytest.approx(extractor.document.test_accuracy, abs=1e-3)
    assert float(accuracy) > 0.97


@pytest.mark.parametrize(
    ("channels", "px", "name"),
    [
        (1, 28, "fashion-28"),
        (1, 32, "fashion-28"),
        (1, 64, "pixels-64"),
        (3, 32, "lite0-112"),
        (3, 8, "pixels-64"),
        (1, 8, "pixels-64"),
    ],
)
def test_other_data_are_judged_by_size_and_channels(channels: int, px: int, name: str) -> None:
    extractor, reason = chosen(noise(200, channels, px))

    assert extractor.name == name
    assert reason
    assert extractor.features(noise(3, channels, px).images).shape == (3, extractor.size)


@pytest.mark.parametrize("filename", SHIPPED)
def test_shipped_networks_are_small_and_load_by_their_pinned_hash(filename: str) -> None:
    path = files("ml.features").joinpath("shipped", filename)

    assert len(path.read_bytes()) < 1_500_000
    extractor, _ = chosen(noise(99, 1, 28), filename.removesuffix(".safetensors"))
    assert extractor.size in {112, 128}
    assert len(extractor.sha256) == 64


def test_own_extractors_come_first_and_names_are_taken_once() -> None:
    class Mean:
        name, sha256, size, resize, warnings = "mean", "0" * 64, 1, "none", ()

        def features(self, images: Tensor) -> Tensor:
            return images.float().mean((1, 2, 3))[:, None]

    registry = ExtractorRegistry()
    own = Entry("mean", lambda _dataset, _split: Mean(), lambda _dataset: "it always does")
    registry.register(Entry("pixels", PixelExtractor.fit, lambda _dataset: "fallback"))
    registry.register(own)
    data = noise(30, 1, 8)

    choice = registry.choose(data, split_dataset(data))

    assert (choice.extractor.name, choice.reason) == ("mean", "it always does")
    assert isinstance(choice.extractor, FeatureExtractor)
    with pytest.raises(ValueError, match="already is"):
        registry.register(own)


def test_a_network_of_ones_own_is_taken_by_its_file(tmp_path: Path) -> None:
    images = torch.cat([torch.zeros(60, 3, 8, 8), torch.full((60, 3, 8, 8), 200)]).to(torch.uint8)
    images += noise(120, 3, 8).images // 8
    data = PackedDataset.create(
        name="two", images=images, labels=torch.arange(120) // 60, classes=["dark", "bright"]
    )
    network, document = train_feature_network(data, name="mine", images_shown=500)
    path = tmp_path / "mine.safetensors"
    sha256 = save_network(path, network, document)

    extractor, reason = chosen(data, str(path))

    assert (extractor.name, extractor.sha256) == ("mine", sha256)
    assert "mine.safetensors" in reason
    with pytest.raises(MlError, match="takes images of 3 channels") as caught:
        chosen(noise(99, 1, 8), str(path))
    assert caught.value.code == "features.channels"


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(MlError, match="digits-32, fashion-28, lite0-112, pixels"):
        chosen(noise(99, 1, 28), "inception")


def test_a_network_for_grey_is_refused_for_colour() -> None:
    with pytest.raises(MlError, match="takes images of 1 channels"):
        chosen(noise(99, 3, 28), "digits-32")


def test_pixels_are_fitted_to_the_training_side_alone() -> None:
    data = noise(300, 1, 8)
    changed = data.images.clone()
    split = split_dataset(data)
    changed[split.test] = 255 - changed[split.test]
    other = PackedDataset.create(name="other", images=changed)

    first, second = PixelExtractor.fit(data, split), PixelExtractor.fit(other, split)

    assert torch.equal(first.projection, second.projection)
    assert first.sha256 != second.sha256
    found = first.features(data.images[split.train])
    assert found.shape == (len(split.train), 64)
    assert float(found.square().mean()) == pytest.approx(1, rel=0.01)
    assert found.mean(0).abs().max() < 1e-3


def test_the_catalog_names_what_the_registry_has_and_what_it_can_see() -> None:
    assert set(SHIPPED_EXTRACTORS) == set(EXTRACTORS.names)
    for name, about in SHIPPED_EXTRACTORS.items():
        for channels in (1, 3):
            dataset = noise(60, channels, 32)
            if not about.channels or channels in about.channels:
                assert chosen(dataset, name)[0].features(dataset.images[:2]).shape[0] == 2
            else:
                with pytest.raises(MlError, match="channels"):
                    chosen(dataset, name)

"""The shipped middle of EfficientNet-Lite0: that it computes what the original does, and sees what pixels do not."""

import pytest
import torch
from torch import Tensor

from ml.data.packed import PackedDataset
from ml.data.split import split_dataset
from ml.errors import InvalidCheckpointError, MlError
from ml.features import lite
from ml.features.lite import load_lite
from ml.features.registry import EXTRACTORS
from ml.metrics.frechet import frechet_distance

# Of `ramps()`, by the original fp32 weights with their batch norms unfolded, in a separate implementation.
ORIGINAL = [1.570, 2.437, -0.947, 0.331, 4.179, -0.127, -2.022, 1.209]


def ramps() -> Tensor:
    """One picture: red rises to the right, green downwards, blue is their mean."""
    ramp = torch.arange(64) * 4
    right, down = ramp.expand(64, 64), ramp[:, None].expand(64, 64)
    return torch.stack([right, down, (right + down) // 2]).to(torch.uint8)[None]


def blobs(count: int, seed: int) -> Tensor:
    """Pictures of smooth coloured spots, uint8 [count, 3, 32, 32]."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bicubic") * 255).clamp(0, 255).byte()


def test_it_computes_what_the_original_network_does() -> None:
    features = load_lite().features(ramps())

    assert features.shape == (1, 112)
    assert features[0, :8].tolist() == pytest.approx(ORIGINAL, abs=0.03)


def test_an_image_has_the_same_features_among_others_and_as_grey_colour() -> None:
    extractor, images = load_lite(), blobs(5, 0)
    grey = images[:, :1]

    together = extractor.features(images)
    assert torch.allclose(together[3:4], extractor.features(images[3:4]), atol=1e-4)
    assert torch.allclose(extractor.features(grey), extractor.features(grey.expand(-1, 3, -1, -1)), atol=1e-4)
    assert len(load_lite(is_grey=True).warnings) == len(extractor.warnings) + 1


def test_faint_noise_stands_out_of_the_floor() -> None:
    extractor, real, other = load_lite(), blobs(150, 1), blobs(150, 2)
    noise = 8 * torch.randn(other.shape, generator=torch.Generator().manual_seed(3))
    noisy = (other.float() + noise).clamp(0, 255).byte()

    floor = frechet_distance(extractor.features(real), extractor.features(other))
    assert frechet_distance(extractor.features(real), extractor.features(noisy)) > 3 * floor


def test_changed_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "SHA256", "0" * 64)

    with pytest.raises(InvalidCheckpointError, match="not the feature network that this version ships"):
        load_lite()


def test_images_of_two_channels_are_refused_by_name() -> None:
    two = PackedDataset.create(name="two", images=torch.zeros(30, 2, 32, 32, dtype=torch.uint8))

    with pytest.raises(MlError, match="2 channels"):
        EXTRACTORS.choose(two, split_dataset(two), wanted=lite.NAME)

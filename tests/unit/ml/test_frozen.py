"""Networks made ready for sampling: the same images, from fewer operations, and the original untouched."""

import pytest
import torch

from ml.catalog import parse_config
from ml.networks.build import build_generator
from ml.networks.frozen import frozen
from ml.networks.resampling import UpsampledConv2d
from ml.networks.spec import network_specs


@pytest.mark.parametrize("network", ["dcgan", "resnet", "mlp"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_frozen_generator_makes_the_same_images(network: str, norm: str) -> None:
    config = parse_config(
        "dcgan",
        {"network": network, "generator_norm": norm, "generator_channels": 4, "generator_widths": [16]},
    )
    torch.manual_seed(0)
    generator = build_generator(network_specs(config, px=16, image_channels=3, classes=2).generator)
    z, labels = torch.randn(8, config.latent_size), torch.arange(8) % 2
    for _ in range(3):
        generator(z, labels)  # in training mode: batch norm gets statistics of its own
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    still = frozen(generator)
    with torch.inference_mode():
        torch.testing.assert_close(still(z, labels), generator.eval()(z, labels), atol=1e-5, rtol=1e-4)
    assert not any(isinstance(layer, UpsampledConv2d) for layer in still.modules())
    after = generator.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())

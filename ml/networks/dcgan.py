"""Convolutional networks after DCGAN (Radford et al. 2015, arXiv:1511.06434).

Where we differ: the generator upsamples and then convolves, because transposed convolutions leave
checkerboards (Odena et al. 2016), and sizes other than powers of two start from 4 to 9 pixels.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ml.networks.conditioning import LatentStart
from ml.networks.layout import channels_last
from ml.networks.norms import norm_2d
from ml.networks.resampling import UpsampledConv2d
from ml.networks.spec import DcganFeatureSpec, DcganGeneratorSpec

WIDEST_MULTIPLE = 8
"""Channels stop doubling at this multiple of the first width."""
SMALLEST_START_PX = 4
INITIAL_STD = 0.02
"""Standard deviation of fresh weights (Radford et al., section 4)."""


def stage_sizes(px: int) -> list[int]:
    """Image sizes from the coarsest to `px`, each twice the one before.

    >>> stage_sizes(32)
    [4, 8, 16, 32]
    >>> stage_sizes(28)
    [7, 14, 28]
    """
    sizes = [px]
    while sizes[0] % 2 == 0 and sizes[0] // 2 >= SMALLEST_START_PX:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def initialise(module: nn.Module) -> None:
    """Draw fresh weights of one layer as the paper does; for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=INITIAL_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=INITIAL_STD)


class DcganGenerator(nn.Module):
    """z [N, latent_size], labels [N] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, spec: DcganGeneratorSpec) -> None:
        super().__init__()
        sizes = stage_sizes(spec.px)
        widths = [spec.channels * min(spec.px // size, WIDEST_MULTIPLE) for size in sizes]
        start_shape = (widths[0], sizes[0], sizes[0])
        self.start = LatentStart(spec.latent_size, spec.classes, start_shape, spec.norm)
        layers: list[nn.Module] = [nn.ReLU()]
        for before, after in pairwise(widths):
            layers += [
                UpsampledConv2d(before, after, bias=spec.norm == "none"),
                *norm_2d(spec.norm, after),
                nn.ReLU(),
            ]
        layers += [nn.Conv2d(widths[-1], spec.image_channels, 3, padding=1), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.apply(initialise)
        self.start.balance()

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        images: Tensor = self.body(channels_last(self.start(z, labels)))
        return images


class DcganFeatures(nn.Module):
    """images [N, C, H, W] -> features [N, out_features]."""

    def __init__(self, spec: DcganFeatureSpec) -> None:
        super().__init__()
        sizes = stage_sizes(spec.px)
        layers: list[nn.Module] = []
        halvings = len(sizes) - 1
        widths = [spec.channels * min(2**i, WIDEST_MULTIPLE) for i in range(halvings)]
        # No norm on the layer that sees the image (Radford et al., section 3).
        layers += [nn.Conv2d(spec.image_channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, bias=spec.norm == "none"),
                *norm_2d(spec.norm, after, keeps_statistics=False),
                nn.LeakyReLU(0.2),
            ]
        self.body = nn.Sequential(*layers)
        self.out_features = widths[-1] * sizes[0] ** 2
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(channels_last(images))
        return torch.reshape(features, (len(features), -1))

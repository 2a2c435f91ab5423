"""Residual networks after Miyato et al. 2018, arXiv:1802.05957, appendix B.4, and He et al. 2016.

The blocks put norm and activation before the convolutions; sizes change by nearest upsampling and average
pooling. Widths double as sizes halve, where the paper keeps them, which suits small processors better.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from ml.networks.conditioning import LatentStart
from ml.networks.dcgan import stage_sizes
from ml.networks.layout import channels_last
from ml.networks.norms import norm_2d
from ml.networks.resampling import PooledConv2d, UpsampledConv2d
from ml.networks.spec import ResnetFeatureSpec, ResnetGeneratorSpec

WIDEST_MULTIPLE = 4


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class _UpBlock(nn.Module):
    """[N, before, H, W] -> [N, after, 2H, 2W]."""

    def __init__(self, before: int, after: int, spec: ResnetGeneratorSpec) -> None:
        super().__init__()
        self.first_norm = nn.Sequential(*norm_2d(spec.norm, before))
        self.first = UpsampledConv2d(before, after)
        self.second_norm = nn.Sequential(*norm_2d(spec.norm, after))
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.first(relu(self.first_norm(maps)))
        inner = self.second(relu(self.second_norm(inner)))
        # A 1x1 convolution gives the same before and after nearest upsampling, and costs a quarter before.
        outer = interpolate(self.shortcut(maps), scale_factor=2.0, mode="nearest")
        summed: Tensor = inner + outer
        return summed


class ResnetGenerator(nn.Module):
    """z [N, latent_size], labels [N] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, spec: ResnetGeneratorSpec) -> None:
        super().__init__()
        sizes = stage_sizes(spec.px)
        widths = [spec.channels * min(spec.px // size, WIDEST_MULTIPLE) for size in sizes]
        start_shape = (widths[0], sizes[0], sizes[0])
        self.start = LatentStart(spec.latent_size, spec.classes, start_shape, spec.norm)
        self.blocks = nn.Sequential(*(_UpBlock(before, after, spec) for before, after in pairwise(widths)))
        self.end = nn.Sequential(
            *norm_2d(spec.norm, widths[-1]),
            nn.ReLU(),
            nn.Conv2d(widths[-1], spec.image_channels, 3, padding=1),
            nn.Tanh(),
        )
        self.apply(_initialise)
        self.start.balance()

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        images: Tensor = self.end(self.blocks(channels_last(self.start(z, labels))))
        return images


class _DownBlock(nn.Module):
    """[N, before, H, W] -> [N, after, H/2, W/2]; the first block sees the image and activates nothing yet."""

    def __init__(self, before: int, after: int, spec: ResnetFeatureSpec, *, is_first: bool) -> None:
        super().__init__()
        self.is_first = is_first
        first_norm = [] if is_first else norm_2d(spec.norm, before, keeps_statistics=False)
        self.first_norm = nn.Sequential(*first_norm)
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second_norm = nn.Sequential(*norm_2d(spec.norm, after, keeps_statistics=False))
        self.second = PooledConv2d(after, after)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = maps if self.is_first else relu(self.first_norm(maps))
        inner = self.second(relu(self.second_norm(self.first(inner))))
        pooled: Tensor = inner + self.shortcut(avg_pool2d(maps, 2))
        return pooled


class ResnetFeatures(nn.Module):
    """images [N, C, H, W] -> features [N, out_features], summed over places."""

    def __init__(self, spec: ResnetFeatureSpec) -> None:
        super().__init__()
        halvings = len(stage_sizes(spec.px)) - 1
        widths = [spec.image_channels, *(spec.channels * min(2**i, WIDEST_MULTIPLE) for i in range(halvings))]
        self.blocks = nn.Sequential(
            *(
                _DownBlock(before, after, spec, is_first=place == 0)
                for place, (before, after) in enumerate(pairwise(widths))
            )
        )
        self.out_features = widths[-1]
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(channels_last(images))
        return relu(maps).sum(dim=(2, 3))

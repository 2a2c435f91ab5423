"""Dense networks: the first GAN's architecture, with leaky ReLU and, in the generator, batch norm."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ml.networks.conditioning import LatentStart
from ml.networks.norms import norm_1d
from ml.networks.spec import MlpFeatureSpec, MlpGeneratorSpec


class MlpGenerator(nn.Module):
    """z [N, latent_size], labels [N] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, spec: MlpGeneratorSpec) -> None:
        super().__init__()
        self.image_shape = (spec.image_channels, spec.px, spec.px)
        self.start = LatentStart(spec.latent_size, spec.classes, spec.widths[:1], spec.norm)
        self.start.balance()
        layers: list[nn.Module] = [nn.LeakyReLU(0.2)]
        for before, after in pairwise(spec.widths):
            layers += [nn.Linear(before, after), *norm_1d(spec.norm, after), nn.LeakyReLU(0.2)]
        layers += [nn.Linear(spec.widths[-1], spec.image_channels * spec.px * spec.px), nn.Tanh()]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        flat = self.body(self.start(z, labels))
        return torch.reshape(flat, (len(z), *self.image_shape))


class MlpFeatures(nn.Module):
    """images [N, C, H, W] -> features [N, out_features]."""

    def __init__(self, spec: MlpFeatureSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((spec.image_channels * spec.px * spec.px, *spec.widths)):
            layers += [nn.Linear(before, after), *norm_1d(spec.norm, after), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.out_features = spec.widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        # reshape, not flatten: it accepts any memory layout and always gives [N, C*H*W].
        features: Tensor = self.body(torch.reshape(images, (len(images), -1)))
        return features

"""Dense networks: the first GAN's architecture, with leaky ReLU and, in the generator, batch norm."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ml.networks.conditioning import ClassProjection, LatentWithClass
from ml.networks.spec import MlpDiscriminatorSpec, MlpGeneratorSpec


class MlpGenerator(nn.Module):
    """z [N, latent_size], labels [N] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, spec: MlpGeneratorSpec) -> None:
        super().__init__()
        self.image_shape = (spec.image_channels, spec.px, spec.px)
        self.latent = LatentWithClass(spec.latent_size, spec.classes)
        layers: list[nn.Module] = []
        for before, after in pairwise((self.latent.out_features, *spec.widths)):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.2)]
        layers += [nn.Linear(spec.widths[-1], spec.image_channels * spec.px * spec.px), nn.Tanh()]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        flat = self.body(self.latent(z, labels))
        return torch.reshape(flat, (len(z), *self.image_shape))


class MlpDiscriminator(nn.Module):
    """images [N, C, H, W], labels [N] -> logits [N]."""

    def __init__(self, spec: MlpDiscriminatorSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((spec.image_channels * spec.px * spec.px, *spec.widths)):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.head = ClassProjection(spec.widths[-1], spec.classes)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        # reshape, not flatten: it accepts any memory layout and always gives [N, C*H*W].
        features = self.body(torch.reshape(images, (len(images), -1)))
        logits: Tensor = self.head(features, labels)
        return logits

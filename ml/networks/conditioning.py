"""How networks learn of an image's class."""

import math

import torch
from torch import Tensor, nn

from ml.networks.norms import Norm, norm_1d, norm_2d

EMBEDDING_SIZE = 32


class LatentStart(nn.Module):
    """z [N, latent_size], labels [N] -> features [N, *shape]: the noise, normalised, plus a map of the class.

    Conditional GAN (Mirza & Osindero 2014, arXiv:1411.1784), except for the order. Where noise and class
    are joined first and normalised together, every step pulls the class's weights the same way and the
    noise's to and fro; the class grows, the norm shrinks the noise, and each class becomes a single image.
    Normalised alone, the noise keeps its share, as conditional batch norm has it (Dumoulin et al. 2017,
    arXiv:1610.07629). With `classes` = 0 it is a linear layer and its norm.
    """

    def __init__(self, latent_size: int, classes: int, shape: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        self.shape = shape
        self.noise = nn.Linear(latent_size, math.prod(shape), bias=norm == "none")
        layers = norm_2d(norm, shape[0]) if len(shape) == 3 else norm_1d(norm, shape[0])
        self.norm = nn.Sequential(*layers)
        # Entries of unit variance, as the normalised noise has.
        self.class_map = nn.Embedding(classes, math.prod(shape)) if classes else None

    def balance(self) -> None:
        """Draw the noise's weights anew where no norm makes its part as large as the class's."""
        if not len(self.norm):
            nn.init.normal_(self.noise.weight, std=self.noise.in_features**-0.5)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        noise: Tensor = self.norm(torch.reshape(self.noise(z), (len(z), *self.shape)))
        if self.class_map is None:
            return noise
        return noise + torch.reshape(self.class_map(labels), noise.shape)


class ClassProjection(nn.Module):
    """Logit of features [N, F]: a linear score, plus the features' inner product with a vector of the class.

    Projection discriminator, Miyato & Koyama 2018, arXiv:1802.05637, equation 4; with `classes` = 0 the
    linear score alone.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.embedding = nn.Embedding(classes, features) if classes else None
        if self.embedding is not None:
            # Unit-variance entries would let the class term drown the score at the start.
            nn.init.normal_(self.embedding.weight, std=features**-0.5)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        logits: Tensor = self.score(features).squeeze(1)
        if self.embedding is not None:
            logits = logits + (self.embedding(labels) * features).sum(dim=1)
        return logits

"""How networks learn of an image's class."""

import torch
from torch import Tensor, nn

EMBEDDING_SIZE = 32


class LatentWithClass(nn.Module):
    """Put a learned vector of the class beside the noise: [N, latent_size] -> [N, out_features].

    Conditional GAN, Mirza & Osindero 2014, arXiv:1411.1784; with `classes` = 0 it passes z through.
    """

    def __init__(self, latent_size: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, EMBEDDING_SIZE) if classes else None
        self.out_features = latent_size + (EMBEDDING_SIZE if classes else 0)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        if self.embedding is None:
            return z
        return torch.cat((z, self.embedding(labels)), dim=1)


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

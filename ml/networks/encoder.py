"""The encoder of a variational autoencoder: Kingma & Welling 2013, arXiv:1312.6114, appendix C.2."""

import torch
from torch import Tensor, nn

from ml.networks.conditioning import EMBEDDING_SIZE

LOG_VARIANCE_LIMIT = 10.0
"""Codes narrower or wider than e^5 times the prior are errors; exp of more overflows."""


class Encoder(nn.Module):
    """images [N, C, H, W], labels [N] -> mean and log-variance of the code side by side, [N, 2 * latent_size]."""

    def __init__(self, features: nn.Module, out_features: int, *, latent_size: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.embedding = nn.Embedding(classes, EMBEDDING_SIZE) if classes else None
        self.head = nn.Linear(out_features + (EMBEDDING_SIZE if classes else 0), 2 * latent_size)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        features = self.features(images)
        if self.embedding is not None:
            features = torch.cat((features, self.embedding(labels)), dim=1)
        code: Tensor = self.head(features)
        return code


def split_code(code: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance, float32 [N, latent_size] each, from an encoder's output."""
    mean, log_variance = code.float().chunk(2, dim=1)
    return mean, log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)

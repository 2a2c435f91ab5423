"""The judge of images: a feature network with a score on top, and a classifier where the recipe asks for it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ml.networks.conditioning import ClassProjection


@dataclass(frozen=True, slots=True)
class Scores:
    """What a discriminator says of a batch.

    Attributes:
        logits: [N]; larger means more real.
        class_logits: [N, classes] from the auxiliary classifier, None without one.
        features: [N, F], what both were computed from.
    """

    logits: Tensor
    class_logits: Tensor | None
    features: Tensor


class Discriminator(nn.Module):
    """images [N, ...], labels [N] -> logits [N].

    With `classes` it uses labels by projection (Miyato & Koyama 2018), or with `auxiliary` it does not look
    at them and predicts them instead (Odena et al. 2017).
    """

    def __init__(
        self,
        features: nn.Module,
        out_features: int,
        *,
        classes: int = 0,
        auxiliary: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = features
        self.dropout = dropout
        self.head = ClassProjection(out_features, 0 if auxiliary else classes)
        self.classifier = nn.Linear(out_features, classes) if auxiliary and classes else None
        # Fixed masks' random stream would be torch's global one, which a training state does not hold.
        self.mask_rng: torch.Generator | None = None

    def score(self, images: Tensor, labels: Tensor | None) -> Scores:
        """Judge a batch."""
        features = self.features(images)
        seen = self._drop(features)
        class_logits = None if self.classifier is None else self.classifier(seen)
        return Scores(self.head(seen, labels), class_logits, features)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return self.score(images, labels).logits

    def _drop(self, features: Tensor) -> Tensor:
        """Dropout (Srivastava et al. 2014) from a stream of its own, so that resuming is exact."""
        if self.dropout == 0 or self.mask_rng is None:
            return features
        kept = torch.rand(features.shape, generator=self.mask_rng) >= self.dropout
        return features * kept.to(features) / (1 - self.dropout)

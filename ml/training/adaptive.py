"""Adaptive augmentation: how often the discriminator sees augmented images follows how much it has memorised.

Karras et al. 2020, arXiv:2006.06676, section 3: r_t = E[sign(D(x))] over training images (equation 1, second half).
Near 0 the discriminator cannot tell them from fakes; near 1 it knows every one by heart. Every few steps the
probability p moves by a fixed amount, up while r_t is above its target, down while it is below.
"""

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from ml.catalog import GanConfig, RecipeConfig
from ml.distributed import Crew

STEPS_BETWEEN = 4
"""Signs are gathered over so many batches before p moves, as in the paper."""
MOST = 0.8
"""Above this augmentations leak into the samples (the paper's section 2.2, figure 4)."""


@dataclass
class AdaptiveAugmentation:
    """p and what it was measured from. Does nothing in runs with a fixed p.

    Attributes:
        probability: p, the share of images that are augmented.
        target: of r_t; 0 keeps p as it is.
        images_per_unit: images in which p goes from 0 to 1 at the fastest.
    """

    probability: float
    target: float = 0.0
    images_per_unit: float = 1.0
    _sign_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    _batches: int = 0

    @classmethod
    def of(cls, config: RecipeConfig) -> Self:
        """For the settings of a run; without an adversary p is 0."""
        if not isinstance(config, GanConfig):
            return cls(0.0)
        return cls(config.augment_probability, config.augment_target, config.augment_adapt_kimg * 1000)

    @property
    def is_adaptive(self) -> bool:
        return self.target > 0

    def observe(self, real_logits: Tensor, crew: Crew) -> None:
        """Count the signs of a batch of training images, and move p after every few batches.

        Args:
            real_logits: float32 [N], of augmented images, this process's share.
            crew: the processes whose signs count together.
        """
        if not self.is_adaptive:
            return
        self._sign_sum = self._sign_sum.to(real_logits.device) + crew.mean(real_logits.sign().mean())
        self._batches += 1
        if self._batches < STEPS_BETWEEN:
            return
        is_too_sure = float(self._sign_sum) / self._batches > self.target
        step = self._batches * len(real_logits) * crew.size / self.images_per_unit
        self.probability = min(MOST, max(0.0, self.probability + (step if is_too_sure else -step)))
        self._sign_sum, self._batches = torch.zeros(()), 0

    def tensor(self) -> Tensor:
        """All that changes, for a training state: float64 [3]."""
        return torch.tensor([self.probability, float(self._sign_sum), self._batches], dtype=torch.float64)

    def restore(self, values: Tensor) -> None:
        """Take over the values of `tensor`."""
        probability, sign_sum, batches = values.tolist()
        self.probability, self._batches = probability, int(batches)
        self._sign_sum = torch.tensor(sign_sum, dtype=torch.float32)

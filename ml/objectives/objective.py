"""What an adversarial objective is: two pure functions of logits."""

from typing import Protocol

from torch import Tensor


class Objective(Protocol):
    """A pair of losses. Logits are float32 [N]; above 0 means the discriminator takes an image for real.

    Attributes:
        generator_needs_real_logits: whether the generator's loss looks at real images too (relativistic
            objectives do); when False, `real_logits` may be None there and a pass is saved.
    """

    @property
    def generator_needs_real_logits(self) -> bool: ...

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The scalar that the discriminator minimises."""
        ...

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None) -> Tensor:
        """The scalar that the generator minimises."""
        ...

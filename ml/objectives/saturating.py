"""The minimax GAN objective: Goodfellow et al. 2014, arXiv:1406.2661, equation 1."""

from torch import Tensor
from torch.nn.functional import softplus


class Saturating:
    """Binary cross-entropy for both players, the value function of the paper.

    The generator's gradient vanishes where the discriminator is sure that an image is fake, which is why
    practice prefers the non-saturating form. Here for comparison and teaching.
    """

    generator_needs_real_logits = False

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """-E[log D(x)] - E[log(1 - D(G(z)))]."""
        return softplus(-real_logits).mean() + softplus(fake_logits).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """E[log(1 - D(G(z)))], which is negative."""
        del real_logits
        return -softplus(fake_logits).mean()

"""The non-saturating GAN objective: Goodfellow et al. 2014, arXiv:1406.2661, section 3."""

from torch import Tensor
from torch.nn.functional import softplus


class NonSaturating:
    """Binary cross-entropy for the discriminator; the generator maximises log D(G(z)).

    With D = sigmoid(logit): -log D = softplus(-logit) and -log(1 - D) = softplus(logit), which stay finite
    and keep their gradient where log(sigmoid) would not.
    """

    generator_needs_real_logits = False

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """-E[log D(x)] - E[log(1 - D(G(z)))], equation 1 with its sign turned."""
        return softplus(-real_logits).mean() + softplus(fake_logits).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """-E[log D(G(z))]."""
        del real_logits
        return softplus(-fake_logits).mean()

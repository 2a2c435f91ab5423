"""The hinge GAN objective: Lim & Ye 2017, arXiv:1705.02894; with spectral norm, Miyato et al. 2018."""

from torch import Tensor
from torch.nn.functional import relu


class Hinge:
    """A margin for the discriminator, as in a support vector machine; a plain mean for the generator.

    L_D = E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))],  L_G = -E[D(G(z))].

    Images beyond the margin stop pulling at the discriminator, so it does not grow ever surer of them.
    """

    generator_needs_real_logits = False

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]."""
        return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """-E[D(G(z))]."""
        del real_logits
        return -fake_logits.mean()

"""Relativistic pairing: Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al. 2024, arXiv:2501.05441."""

from torch import Tensor
from torch.nn.functional import softplus


class RelativisticPairing:
    """Each fake is judged against a real image: which of the two looks more real?

    L_D = E[softplus(-(D(x) - D(G(z))))],  L_G = E[softplus(-(D(G(z)) - D(x)))].

    Every real image has its own border to pass, so no single border can be crossed by all fakes at once:
    the mode-dropping minima of the usual losses are gone. With R1 and R2 it converges locally (Huang et
    al., section 2). Images are paired by their place in the batch, conditional runs within a class.
    """

    generator_needs_real_logits = True

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E[-log sigmoid(D(x) - D(G(z)))]."""
        return softplus(fake_logits - real_logits).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None) -> Tensor:
        """E[-log sigmoid(D(G(z)) - D(x))].

        Raises:
            ValueError: without the logits of real images.
        """
        if real_logits is None:
            raise ValueError("the relativistic generator loss compares fakes with real images")
        return softplus(real_logits - fake_logits).mean()

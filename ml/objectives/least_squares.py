"""The least-squares GAN objective: Mao et al. 2017, arXiv:1611.04076, equation 9."""

from torch import Tensor


class LeastSquares:
    """The discriminator regresses real images to 1 and fakes to 0; the generator pulls fakes to 1.

    L_D = 1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2],  L_G = 1/2 E[(D(G(z)) - 1)^2].

    Fakes on the right side of the border still have a gradient that moves them towards the data. The
    border between real and fake is 1/2 here, not 0.
    """

    generator_needs_real_logits = False

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2]."""
        return 0.5 * ((real_logits - 1).square().mean() + fake_logits.square().mean())

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """1/2 E[(D(G(z)) - 1)^2]."""
        del real_logits
        return 0.5 * (fake_logits - 1).square().mean()

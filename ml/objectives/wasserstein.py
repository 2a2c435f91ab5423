"""The Wasserstein GAN objective: Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1."""

import torch
from torch import Tensor, nn


class Wasserstein:
    """The critic separates the means of its scores; the generator raises the mean score of fakes.

    L_D = E[D(G(z))] - E[D(x)],  L_G = -E[D(G(z))].

    It estimates a distance only for a critic of bounded slope: clip its weights, penalise its gradient or
    normalise its layers. Scores have no scale, so their absolute values mean nothing.
    """

    generator_needs_real_logits = False

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E[D(G(z))] - E[D(x)], the estimated distance with its sign turned."""
        return fake_logits.mean() - real_logits.mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """-E[D(G(z))]."""
        del real_logits
        return -fake_logits.mean()


@torch.no_grad()
def clip_weights(critic: nn.Module, limit: float) -> None:
    """Force every parameter into [-limit, limit] (algorithm 1, line 7).

    The paper calls it a clearly terrible way to bound the slope: a large limit trains slowly, a small one
    lets gradients vanish. The gradient penalty replaces it.
    """
    for parameter in critic.parameters():
        parameter.clamp_(-limit, limit)

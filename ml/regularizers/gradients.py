"""How steep a discriminator is at given images: what all gradient penalties are made of."""

from collections.abc import Callable

import torch
from torch import Tensor

Judge = Callable[[Tensor, Tensor | None], Tensor]
"""(images [N, ...], labels [N] or None) -> logits float32 [N], each of its own image alone."""


def squared_gradient_norms(judge: Judge, images: Tensor, labels: Tensor | None) -> Tensor:
    """||dD(x)/dx||^2 of each image, differentiable with respect to the discriminator: float32 [N].

    The logits are summed before they are differentiated, so the result is right only where an image's logit
    depends on that image alone. Batch norm breaks this; the catalog refuses the pair.
    """
    points = images.detach().requires_grad_(True)
    total = judge(points, labels).sum()
    (gradients,) = torch.autograd.grad(total, points, create_graph=True)
    return gradients.square().flatten(1).sum(dim=1)

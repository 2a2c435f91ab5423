"""Batch-norm statistics for averaged weights ("standing statistics", Brock et al. 2019, section 3.1)."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCH_SIZE = 64


@torch.no_grad()
def with_fresh_statistics(
    generator: nn.Module, *, latent_size: int, classes: int, image_count: int, seed: int
) -> nn.Module:
    """Return a copy in eval mode whose batch-norm statistics are those of its own samples.

    Noise comes from a generator of this function's own, so training's random streams are not touched and
    the result depends on the weights and `seed` alone. Classes take turns.
    """
    copied = copy.deepcopy(generator)
    norms = [module for module in copied.modules() if isinstance(module, _BatchNorm)]
    if norms:
        _estimate(copied, norms, latent_size=latent_size, classes=classes, image_count=image_count, seed=seed)
    return copied.eval()


def _estimate(
    generator: nn.Module,
    norms: list[_BatchNorm],
    *,
    latent_size: int,
    classes: int,
    image_count: int,
    seed: int,
) -> None:
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over all batches
    generator.train()
    device = next(generator.parameters()).device
    noise = torch.Generator().manual_seed(seed)
    for first in range(0, image_count, BATCH_SIZE):
        z = torch.randn(BATCH_SIZE, latent_size, generator=noise).to(device)
        labels: Tensor | None = None
        if classes:
            labels = ((torch.arange(BATCH_SIZE) + first) % classes).to(device)
        generator(z, labels)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

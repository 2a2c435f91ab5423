"""Spectral normalisation: Miyato et al. 2018, arXiv:1802.05957, algorithm 1."""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def normalise_spectrum(module: nn.Module) -> None:
    """Divide the weight of every linear, convolution and embedding layer by its largest singular value.

    Each layer then has slope at most 1, and so has the whole discriminator with its (leaky) ReLUs. The
    singular value comes from one power iteration a pass; the iteration's vectors are buffers of the module,
    so a training state holds them.
    """
    for layer in list(module.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            spectral_norm(layer)

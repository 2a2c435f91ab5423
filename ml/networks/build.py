"""From specs to modules, and the interface that training and sampling see."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ml.networks.dcgan import DcganDiscriminator, DcganGenerator
from ml.networks.mlp import MlpDiscriminator, MlpGenerator
from ml.networks.spec import (
    DcganDiscriminatorSpec,
    DcganGeneratorSpec,
    MlpDiscriminatorSpec,
    MlpGeneratorSpec,
)

GeneratorCall = Callable[[Tensor, Tensor | None], Tensor]
"""(z float32 [N, latent_size], labels int64 [N] or None) -> images [N, C, H, W] in [-1, 1]."""

DiscriminatorCall = Callable[[Tensor, Tensor | None], Tensor]
"""(images [N, C, H, W] in [-1, 1], labels int64 [N] or None) -> logits [N]; above 0 means real."""


def build_generator(spec: MlpGeneratorSpec | DcganGeneratorSpec) -> nn.Module:
    """Make a generator with fresh weights, drawn from torch's global random generator."""
    return MlpGenerator(spec) if isinstance(spec, MlpGeneratorSpec) else DcganGenerator(spec)


def build_discriminator(spec: MlpDiscriminatorSpec | DcganDiscriminatorSpec) -> nn.Module:
    """Make a discriminator with fresh weights, drawn from torch's global random generator."""
    return MlpDiscriminator(spec) if isinstance(spec, MlpDiscriminatorSpec) else DcganDiscriminator(spec)


def place(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, convolution weights in the channels_last layout; returns the module."""
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stubs lack memory_format

"""From specs to modules, and the interface that training and sampling see."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ml.networks.dcgan import DcganFeatures, DcganGenerator, initialise
from ml.networks.discriminator import Discriminator
from ml.networks.encoder import Encoder
from ml.networks.mlp import MlpFeatures, MlpGenerator
from ml.networks.resnet import ResnetFeatures, ResnetGenerator
from ml.networks.spec import (
    DcganFeatureSpec,
    DcganGeneratorSpec,
    DiscriminatorSpec,
    EncoderSpec,
    FeatureSpec,
    GeneratorSpec,
    MlpFeatureSpec,
    MlpGeneratorSpec,
)
from ml.regularizers.spectral_norm import normalise_spectrum

GeneratorCall = Callable[[Tensor, Tensor | None], Tensor]
"""(z float32 [N, latent_size], labels int64 [N] or None) -> images [N, C, H, W] in [-1, 1]."""


def build_generator(spec: GeneratorSpec) -> nn.Module:
    """Make a generator with fresh weights, drawn from torch's global random generator."""
    if isinstance(spec, MlpGeneratorSpec):
        return MlpGenerator(spec)
    return DcganGenerator(spec) if isinstance(spec, DcganGeneratorSpec) else ResnetGenerator(spec)


def build_discriminator(spec: DiscriminatorSpec) -> Discriminator:
    """Make a discriminator with fresh weights, drawn from torch's global random generator."""
    features, out_features = _build_features(spec.features)
    made = Discriminator(
        features, out_features, classes=spec.classes, auxiliary=spec.auxiliary, dropout=spec.dropout
    )
    if isinstance(spec.features, DcganFeatureSpec):
        made.apply(initialise)
    if spec.spectral:
        normalise_spectrum(made)
    return made


def build_encoder(spec: EncoderSpec) -> Encoder:
    """Make an encoder with fresh weights, drawn from torch's global random generator."""
    features, out_features = _build_features(spec.features)
    return Encoder(features, out_features, latent_size=spec.latent_size, classes=spec.classes)


def _build_features(spec: FeatureSpec) -> tuple[nn.Module, int]:
    made: MlpFeatures | DcganFeatures | ResnetFeatures
    if isinstance(spec, MlpFeatureSpec):
        made = MlpFeatures(spec)
    elif isinstance(spec, DcganFeatureSpec):
        made = DcganFeatures(spec)
    else:
        made = ResnetFeatures(spec)
    return made, made.out_features


def place(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, convolution weights in the channels_last layout; returns the module."""
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stubs lack memory_format

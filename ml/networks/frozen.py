"""A network whose weights change no more: what depends on them alone is computed once."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ml.networks.resampling import UpsampledConv2d, widened


@torch.no_grad()
def frozen(network: nn.Module) -> nn.Module:
    """A copy in eval mode for sampling: kernels of upsampling convolutions made, batch norm folded into them.

    The same function but for rounding; the original is left as it is, and stays what is saved.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, UpsampledConv2d):
                setattr(parent, name, _with_kernel_made(child))
        if isinstance(parent, nn.Sequential):
            _fold_norms(parent)
    return copied


def _with_kernel_made(layer: UpsampledConv2d) -> nn.ConvTranspose2d:
    made = nn.ConvTranspose2d(
        layer.in_channels, layer.out_channels, 4, stride=2, padding=1, bias=layer.bias is not None
    )
    made.weight = nn.Parameter(widened(layer.weight), requires_grad=False)
    made.bias = layer.bias
    return made.eval()


def _fold_norms(layers: nn.Sequential) -> None:
    """Scale the kernels of every transposed convolution by the batch norm behind it, and drop the norm."""
    for place in reversed(range(len(layers) - 1)):
        convolution, norm = layers[place], layers[place + 1]
        if isinstance(convolution, nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            layers[place] = fuse_conv_bn_eval(convolution, norm, transpose=True)
            del layers[place + 1]

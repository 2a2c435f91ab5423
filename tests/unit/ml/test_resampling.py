"""Resizing convolutions: the same function as the two passes they stand for, with the same gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate

from ml.networks.layout import channels_last
from ml.networks.resampling import PooledConv2d, UpsampledConv2d


def upsample_then_convolve(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    large = interpolate(images, scale_factor=2.0, mode="nearest")
    return conv_transpose2d(large, weight, bias, padding=1)


def convolve_then_pool(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return avg_pool2d(conv2d(images, weight, bias, padding=1), 2)


TwoPasses = Callable[[Tensor, Tensor, Tensor | None], Tensor]
both_layers = pytest.mark.parametrize(
    ("layer_type", "two_passes"),
    [(UpsampledConv2d, upsample_then_convolve), (PooledConv2d, convolve_then_pool)],
)


@both_layers
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_two_passes(
    layer_type: type[UpsampledConv2d | PooledConv2d], two_passes: TwoPasses, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = layer_type(3, 5, bias=bias).double()
    images = torch.randn(2, 3, 6, 4, dtype=torch.float64, requires_grad=True)
    ours, theirs = layer(images), two_passes(images, layer.weight, layer.bias)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    inputs = [images, *layer.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((ours * direction).sum(), inputs),
        torch.autograd.grad((theirs * direction).sum(), inputs),
    )


@both_layers
def test_has_the_second_derivatives_that_penalties_need(
    layer_type: type[UpsampledConv2d | PooledConv2d], two_passes: TwoPasses
) -> None:
    torch.manual_seed(1)
    layer = layer_type(2, 2).double()
    images = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def steepness_gradient(output: Tensor) -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad(output.square().sum(), images, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [layer.weight, images])

    torch.testing.assert_close(
        steepness_gradient(layer(images)), steepness_gradient(two_passes(images, layer.weight, layer.bias))
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_layout_survives_the_first_layer(channels: int) -> None:
    images = torch.rand(2, channels, 8, 8, requires_grad=True)
    placed = channels_last(images)
    assert torch.equal(placed, images)
    maps = conv2d(placed, torch.rand(4, channels, 4, 4), stride=2, padding=1)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(placed.square().sum(), images)
    torch.testing.assert_close(gradient, 2 * images.detach())

"""Convolutions that change the size of a map, each as one convolution instead of two passes.

Repeating every pixel four times and then convolving multiplies equal numbers again and again. The sums of
kernel entries that meet the same pixel can be made beforehand: what remains is a 4x4 kernel at stride 2, with
4/9 of the multiplications and no enlarged map in memory. The same holds for pooling the mean of 2x2 outputs.
Both equal the two passes exactly, borders included, but for rounding.
"""

from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad


def widened(kernel: Tensor) -> Tensor:
    """A 3x3 kernel spread over the 2x2 pixels that share a value: [A, B, 3, 3] -> [A, B, 4, 4].

    The full convolution of the kernel with a 2x2 square of ones, rows and columns in turn.
    """
    columns = pad(kernel, (0, 1)) + pad(kernel, (1, 0))
    return pad(columns, (0, 0, 0, 1)) + pad(columns, (0, 0, 1, 0))


class UpsampledConv2d(nn.ConvTranspose2d):
    """Nearest upsampling by 2 and a 3x3 convolution: [N, before, H, W] -> [N, after, 2H, 2W].

    Unlike a free transposed convolution it cannot leave checkerboards (Odena et al. 2016): its 4x4 kernels
    are those that 3x3 kernels on the enlarged map have. Its weight [before, after, 3, 3] is that of a
    transposed convolution, the layout in which no step has to turn it.
    """

    def __init__(self, before: int, after: int, *, bias: bool = True) -> None:
        super().__init__(before, after, 3, padding=1, bias=bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002 - torch's name
        del output_size
        return conv_transpose2d(input, widened(self.weight), self.bias, stride=2, padding=1)


class PooledConv2d(nn.Conv2d):
    """A 3x3 convolution and the mean of 2x2 outputs: [N, before, 2H, 2W] -> [N, after, H, W]."""

    def __init__(self, before: int, after: int, *, bias: bool = True) -> None:
        super().__init__(before, after, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return conv2d(input, 0.25 * widened(self.weight), self.bias, stride=2, padding=1)

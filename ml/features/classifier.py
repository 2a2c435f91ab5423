"""The small classifier whose last hidden layer is the feature space, and the recipe that trains it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.environment import deterministic_mode
from ml.features.images import batches, prepared
from ml.optimizers import PlainAdamW
from ml.seeds import random_stream, stream_seed

FEATURE_SIZE = 128
LARGEST_PX = 32
"""Larger images are shrunk to this: the network is meant for small pictures."""
BATCH_SIZE = 128
PEAK_LEARNING_RATE = 2e-3
WARM_UP_SHARE = 0.1
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """Shape of a network: input side in pixels, 1 or 3 channels, number of classes, width of its first layer."""

    px: int
    channels: int
    classes: int
    width: int = 32


class SmallClassifier(nn.Module):
    """Three strided convolutions, one hidden layer of 4 · width features, one linear layer to the classes."""

    centre: Tensor
    scale: Tensor

    def __init__(self, spec: ClassifierSpec) -> None:
        super().__init__()
        width, side = spec.width, spec.px
        for _ in range(3):
            side = math.ceil(side / 2)
        self.spec = spec
        self.body = nn.Sequential(
            *_block(spec.channels, width),
            *_block(width, 2 * width),
            *_block(2 * width, 4 * width),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * width * side * side, 4 * width),
        )
        # The features are taken before the rectifier, where they are nearer to the Gaussians FD assumes.
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(0.3), nn.Linear(4 * width, spec.classes))
        self.register_buffer("centre", torch.zeros(4 * width))
        self.register_buffer("scale", torch.ones(1))
        # Faster on processors. Part of a network: another layout rounds differently.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images float [N, C, px, px] in [-1, 1]."""
        logits: Tensor = self.head(self.body(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Features [N, 4 · width], centred and scaled as `calibrate` found."""
        points: Tensor = (self.body(images) - self.centre) / self.scale
        return points

    def classify(self, features: Tensor) -> Tensor:
        """Most likely classes, int64 [N], of such features."""
        logits: Tensor = self.head(features * self.scale + self.centre)
        return logits.argmax(1)


def _block(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(channels_out), nn.ReLU()


def network_px(px: int) -> int:
    """Input side of a network for images of this side."""
    return min(px, LARGEST_PX)


def fit_classifier(
    images: Tensor, labels: Tensor, spec: ClassifierSpec, *, images_shown: int, seed: int
) -> SmallClassifier:
    """Train a network: AdamW (Loshchilov and Hutter 2019), one cosine from peak to zero, no augmentation.

    No augmentation on purpose: a network that was taught to ignore shifts would not notice shifted samples.

    Args:
        images: uint8 [N, C, H, W], N at least 2.
        labels: int64 [N], below `spec.classes`.
        spec: shape of the network.
        images_shown: budget; rounded up to whole batches.
        seed: of initial weights, order and dropout.

    Returns:
        The network in eval mode. Equal arguments give equal weights on one kind of device.
    """
    batch_size = min(BATCH_SIZE, len(images))
    steps = math.ceil(images_shown / batch_size)
    order = random_stream(seed, "classifier/order")
    with deterministic_mode(enabled=True), torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "classifier/network"))
        network = SmallClassifier(spec).train()
        optimizer = PlainAdamW(
            network.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        waiting = torch.empty(0, dtype=torch.int64)
        for step in range(steps):
            if len(waiting) < batch_size:
                waiting = torch.cat([waiting, torch.randperm(len(images), generator=order)])
            picked, waiting = waiting[:batch_size], waiting[batch_size:]
            optimizer.param_groups[0]["lr"] = PEAK_LEARNING_RATE * _schedule(step / steps)
            logits = network(prepared(images[picked], spec.px))
            loss = functional.cross_entropy(logits, labels[picked], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    network.eval().requires_grad_(requires_grad=False)
    return network


def _schedule(done: float) -> float:
    """Share of the peak learning rate after this share of the run: linear warm-up, then half a cosine."""
    if done < WARM_UP_SHARE:
        return (done + 1e-3) / (WARM_UP_SHARE + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)))


@torch.inference_mode()
def calibrate(network: SmallClassifier, images: Tensor) -> None:
    """Centre the features of these images and give them a mean square of 1.

    The Fréchet distance over its floor does not change by it. The cubic kernel of the kernel distance does: on
    large features far from zero its noise drowns everything.
    """
    network.centre.zero_()
    network.scale.fill_(1)
    points = features_of(network, images)
    network.centre.copy_(points.mean(0))
    network.scale.copy_((points - network.centre).square().mean().sqrt())


@torch.inference_mode()
def features_of(network: SmallClassifier, images: Tensor) -> Tensor:
    """Features, float32 [N, 4 · width], of images uint8 [N, C, H, W]."""
    return torch.cat([network.features(batch) for batch in batches(images, network.spec.px)])


@torch.inference_mode()
def predict(network: SmallClassifier, images: Tensor) -> Tensor:
    """Most likely classes, int64 [N], of images uint8 [N, C, H, W]."""
    return torch.cat([network(batch).argmax(1) for batch in batches(images, network.spec.px)])

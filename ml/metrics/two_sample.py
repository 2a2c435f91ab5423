"""Classifier two-sample test: can a fresh classifier tell fakes from reals it has not seen?

Lopez-Paz and Oquab 2017, Revisiting Classifier Two-Sample Tests, section 3: label reals 0 and fakes 1, train on
one half, test on the other; the accuracy is 0.5 if the two come from one distribution, with a standard
deviation of (1 / 4N)^½ over N test samples. Positive means fake in precision, recall and F1. On features it
sees what the extractor sees, no more: a classifier on pixels would find more.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.environment import deterministic_mode
from ml.metrics.distances import check_features
from ml.metrics.scores import binary_scores
from ml.optimizers import PlainAdamW
from ml.seeds import random_stream, stream_seed

HIDDEN = 64
STEPS = 600
BATCH_SIZE = 256
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.1
MIN_SAMPLES = 20


class TwoSample(NamedTuple):
    """Held-out scores, each in 0..1, and the standard deviation of the accuracy if both sets were alike."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    chance: float


def two_sample_test(real: Tensor, fake: Tensor, *, seed: int) -> TwoSample:
    """Train a small network on half of features [N, D] and [M, D], test it on the other half.

    The larger set is cut to the smaller one's size, so that guessing gives 0.5.

    Raises:
        MlError: fewer than 20 samples, unlike shapes, or values that are not finite.
    """
    check_features(real, fake, least=MIN_SAMPLES)
    rng = random_stream(seed, "two-sample/halves")
    size = min(len(real), len(fake))
    real, fake = (
        points[torch.randperm(len(points), generator=rng)[:size]].float() for points in (real, fake)
    )
    half = size // 2
    train = torch.cat([real[:half], fake[:half]])
    mean, deviation = train.mean(0), train.std(0).clamp(min=1e-6)
    network = _fit((train - mean) / deviation, _is_fake(half, half), seed)
    test = (torch.cat([real[half:], fake[half:]]) - mean) / deviation
    rest = size - half
    with torch.inference_mode():
        said_fake = network(test)[:, 0] > 0
    scores = binary_scores(said_fake, _is_fake(rest, rest) > 0)
    return TwoSample(*scores, chance=math.sqrt(0.25 / (2 * rest)))


def _is_fake(reals: int, fakes: int) -> Tensor:
    return torch.cat([torch.zeros(reals), torch.ones(fakes)])


def _fit(points: Tensor, targets: Tensor, seed: int) -> nn.Module:
    """One hidden layer, AdamW, a fixed number of steps with the learning rate falling to zero."""
    order = random_stream(seed, "two-sample/order")
    with deterministic_mode(enabled=True), torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "two-sample/network"))
        network = nn.Sequential(nn.Linear(points.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
        optimizer = PlainAdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS)
            picked = torch.randint(len(points), (BATCH_SIZE,), generator=order)
            loss = functional.binary_cross_entropy_with_logits(network(points[picked])[:, 0], targets[picked])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return network

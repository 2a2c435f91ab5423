"""Normalisation layers by the name a config gives them."""

import math
from typing import Literal

from torch import nn

Norm = Literal["batch", "group", "none"]
MOST_GROUPS = 8


def norm_1d(kind: Norm, features: int) -> list[nn.Module]:
    """Normalise features [N, F]; an empty list for none."""
    if kind == "batch":
        return [nn.BatchNorm1d(features)]
    return [_group(features)] if kind == "group" else []


def norm_2d(kind: Norm, channels: int, *, keeps_statistics: bool = True) -> list[nn.Module]:
    """Normalise maps [N, C, H, W]; an empty list for none.

    Args:
        kind: batch (Ioffe & Szegedy 2015), group (Wu & He 2018) or none.
        channels: of the maps.
        keeps_statistics: whether batch norm averages its statistics for later; a network that is always in
            training mode, as a discriminator is, keeps them for nobody.
    """
    if kind == "batch":
        return [nn.BatchNorm2d(channels, track_running_stats=keeps_statistics)]
    return [_group(channels)] if kind == "group" else []


def _group(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, MOST_GROUPS), channels)

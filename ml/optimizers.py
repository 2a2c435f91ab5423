"""Adam and AdamW for training that is not compiled as a whole.

torch's optimisers load torch's compiler at their first use, only to tell it to leave them alone: some 800 modules,
among them a computer algebra system. That takes a second or two of processor time and a hundred megabytes in each
training, evaluation and model card. These compute the same numbers without it.
"""

from collections.abc import Callable
from inspect import unwrap
from typing import Any, TypeVar

import torch
from torch.optim import Adam, AdamW, Optimizer

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _plain(method: _Method) -> _Method:
    """Return torch's own method below the layers that speak with the compiler."""
    below: _Method = unwrap(method)
    return below


class _Uncompiled(Optimizer):
    add_param_group = _plain(Optimizer.add_param_group)
    zero_grad = _plain(Optimizer.zero_grad)


class PlainAdam(_Uncompiled, Adam):
    """`torch.optim.Adam`, for calls from code that is not compiled."""

    step = torch.no_grad()(_plain(Adam.step))


class PlainAdamW(_Uncompiled, AdamW):
    """`torch.optim.AdamW`, for calls from code that is not compiled."""

    step = torch.no_grad()(_plain(AdamW.step))

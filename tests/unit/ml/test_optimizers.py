"""The optimisers without torch's compiler against torch's own."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from ml.optimizers import PlainAdam, PlainAdamW


@pytest.mark.parametrize(("plain", "usual"), [(PlainAdam, Adam), (PlainAdamW, AdamW)])
@pytest.mark.parametrize("fused", [True, False])
def test_weights_are_those_of_the_usual_optimiser(
    plain: type[Optimizer], usual: type[Optimizer], fused: bool
) -> None:
    torch.manual_seed(3)
    ours = nn.Linear(5, 4)
    theirs = copy.deepcopy(ours)
    settings: dict[str, Any] = {"lr": 1e-2, "betas": (0.5, 0.9), "fused": fused}
    pairs = [(ours, plain(ours.parameters(), **settings)), (theirs, usual(theirs.parameters(), **settings))]
    for points in torch.randn(6, 8, 5):
        for network, optimizer in pairs:
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(network(points).square().mean())
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))

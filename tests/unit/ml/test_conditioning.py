"""How generators join noise and class: neither may drown the other, however large its weights grow."""

import pytest
import torch

from ml.networks.conditioning import LatentStart
from ml.networks.norms import Norm


@pytest.mark.parametrize("shape", [(4, 3, 3), (12,)])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_noise_and_class_start_with_equal_shares(shape: tuple[int, ...], norm: Norm) -> None:
    torch.manual_seed(0)
    start = LatentStart(64, 10, shape, norm)
    start.balance()
    z, labels = torch.randn(500, 64), torch.arange(500) % 10
    features = start(z, labels).flatten(1)
    assert features.shape == (500, torch.Size(shape).numel())
    means = torch.stack([features[labels == c].mean(dim=0) for c in range(10)])
    within = (features - means[labels]).var(dim=0).mean().item()
    between = means.var(dim=0).mean().item()
    assert within == pytest.approx(1.0, rel=0.15)
    assert between == pytest.approx(1.0, rel=0.4)


def test_the_noise_keeps_its_share_when_the_class_grows() -> None:
    torch.manual_seed(0)
    start = LatentStart(8, 2, (6,), "batch")
    z, labels = torch.randn(400, 8), torch.zeros(400, dtype=torch.int64)
    with torch.no_grad():
        before = start(z, labels).std(dim=0)
        assert start.class_map is not None
        start.class_map.weight.mul_(100)
        start.noise.weight.mul_(0.1)
        after = start(z, labels).std(dim=0)
    torch.testing.assert_close(after, before, rtol=0.05, atol=0)


def test_without_classes_labels_are_not_asked_for() -> None:
    start = LatentStart(8, 0, (6,), "none")
    assert start.class_map is None
    assert start(torch.zeros(2, 8)).shape == (2, 6)

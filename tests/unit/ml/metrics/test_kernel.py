"""The kernel distance by hand, against another library, and without bias."""

import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from ml.errors import MlError
from ml.metrics.kernel import kernel_distance, unbiased_mmd2
from tests.unit.ml.metrics.clouds import cloud
from tests.unit.ml.metrics.given_features import GivenFeatures


def test_two_points_a_side_by_hand() -> None:
    """One feature: k(x, y) = (xy + 1)³. Reals 0 and 1: k = 1. Fakes 1 and 2: k = 27. Across: 1, 1, 8, 27."""
    real, fake = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])

    assert unbiased_mmd2(real, fake) == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all extracted features")
def test_equals_torchmetrics_on_the_same_features() -> None:
    real, fake = cloud(120, 16, seed=0), cloud(120, 16, seed=1, shift=0.2)
    oracle = KernelInceptionDistance(feature=GivenFeatures(16), subsets=1, subset_size=120)
    oracle.update(real.double(), real=True)
    oracle.update(fake.double(), real=False)
    expected, _ = oracle.compute()

    found = kernel_distance(real, fake, seed=0)

    assert found.value == pytest.approx(float(expected), rel=1e-3)
    assert found.spread == 0


def test_equal_distributions_give_zero_on_average_at_any_n() -> None:
    for count in (20, 200):
        values = torch.tensor(
            [unbiased_mmd2(cloud(count, seed=2 * i), cloud(count, seed=2 * i + 1)) for i in range(60)]
        )
        assert abs(values.mean()) < 3 * values.std() / 60**0.5


def test_subsets_agree_with_the_whole_and_tell_their_spread() -> None:
    real, fake = cloud(800, seed=0), cloud(800, seed=1, shift=0.5)
    whole = unbiased_mmd2(real, fake)

    found = kernel_distance(real, fake, seed=3, subsets=40, subset_size=200)

    assert found.spread > 0
    assert found.value == pytest.approx(whole, abs=found.spread)
    assert found == kernel_distance(real, fake, seed=3, subsets=40, subset_size=200)
    assert found != kernel_distance(real, fake, seed=4, subsets=40, subset_size=200)


def test_refuses_a_single_sample() -> None:
    with pytest.raises(MlError, match="at least 2"):
        kernel_distance(torch.zeros(1, 3), torch.zeros(5, 3), seed=0)

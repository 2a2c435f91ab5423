"""The two-sample test: one half for equal distributions, near one for shifted ones, and seeded."""

import pytest
import torch

from ml.errors import MlError
from ml.metrics.two_sample import two_sample_test
from tests.unit.ml.metrics.clouds import cloud


def test_equal_distributions_cannot_be_told_apart() -> None:
    found = two_sample_test(cloud(2000, seed=0), cloud(2000, seed=1), seed=0)

    assert found.chance == pytest.approx((0.25 / 2000) ** 0.5)
    assert found.accuracy == pytest.approx(0.5, abs=4 * found.chance)
    assert found.f1 == pytest.approx(0.5, abs=0.15)


def test_shifted_distributions_are_told_apart() -> None:
    found = two_sample_test(cloud(500, seed=0), cloud(500, seed=1, shift=3), seed=0)

    assert min(found.accuracy, found.precision, found.recall, found.f1) > 0.98


def test_sees_a_difference_that_means_do_not_show() -> None:
    """Equal means and covariances, another shape: only a classifier that is not linear finds it."""
    signs = torch.randint(0, 2, (1500, 4), generator=torch.Generator().manual_seed(2)) * 2.0 - 1
    gaussian = torch.randn(1500, 4, generator=torch.Generator().manual_seed(3))

    assert two_sample_test(gaussian, signs, seed=0).accuracy > 0.8


def test_sizes_are_evened_out_so_that_guessing_gives_one_half() -> None:
    found = two_sample_test(cloud(3000, seed=0), cloud(300, seed=1), seed=0)

    assert found.chance == pytest.approx((0.25 / 300) ** 0.5)
    assert found.accuracy == pytest.approx(0.5, abs=4 * found.chance)


def test_a_seed_gives_one_answer_and_leaves_the_global_generator_alone() -> None:
    real, fake = cloud(100, seed=0), cloud(100, seed=1, shift=0.3)
    torch.manual_seed(5)
    expected_next = torch.rand(1)
    torch.manual_seed(5)

    first = two_sample_test(real, fake, seed=1)

    assert torch.equal(torch.rand(1), expected_next)
    assert first == two_sample_test(real, fake, seed=1)


def test_features_that_never_vary_are_no_difference() -> None:
    found = two_sample_test(torch.zeros(50, 3), torch.zeros(50, 3), seed=0)

    assert found.accuracy == 0.5


def test_refuses_a_handful() -> None:
    with pytest.raises(MlError, match="at least 20"):
        two_sample_test(cloud(19, seed=0), cloud(50, seed=1), seed=0)

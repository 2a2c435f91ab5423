"""The Fréchet distance equals its closed form on known Gaussians, and another library's on the same features."""

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from ml.errors import MlError
from ml.metrics.frechet import Gaussian, distance_of_gaussians, fit_gaussian, frechet_distance
from tests.unit.ml.metrics.clouds import cloud
from tests.unit.ml.metrics.given_features import GivenFeatures


def test_independent_gaussians_have_the_closed_form() -> None:
    """For diagonal covariances, the sum over axes of (m₁ - m₂)² + (s₁ - s₂)²."""
    first = Gaussian(
        torch.tensor([0.0, 1.0, -2.0]).double(), torch.diag(torch.tensor([1.0, 4.0, 0.0])).double()
    )
    second = Gaussian(
        torch.tensor([3.0, 1.0, 0.0]).double(), torch.diag(torch.tensor([4.0, 9.0, 1.0])).double()
    )

    assert distance_of_gaussians(first, second) == pytest.approx(9 + 0 + 4 + (1 + 1 + 1), rel=1e-9)


def test_rotated_gaussians_agree_with_a_matrix_root() -> None:
    """Covariances that do not commute: the product is not symmetric, and scipy takes its root."""
    import scipy.linalg

    rng = np.random.default_rng(0)
    roots = rng.normal(size=(2, 6, 6))
    covariances = roots @ roots.transpose(0, 2, 1)
    means = rng.normal(size=(2, 6))
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(
        covariances[0] + covariances[1] - 2 * scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    )
    gaussians = [Gaussian(torch.tensor(m), torch.tensor(c)) for m, c in zip(means, covariances, strict=True)]

    assert distance_of_gaussians(gaussians[0], gaussians[1]) == pytest.approx(expected, rel=1e-8)
    assert distance_of_gaussians(gaussians[1], gaussians[0]) == pytest.approx(expected, rel=1e-8)


def test_samples_of_known_gaussians_come_near_their_distance() -> None:
    """20,000 points of N(0, 1) and N(1, 2²) in 4 independent axes: 4 · ((0-1)² + (1-2)²) = 8."""
    rng = torch.Generator().manual_seed(0)
    first = torch.randn(20_000, 4, generator=rng)
    second = 1 + 2 * torch.randn(20_000, 4, generator=rng)

    assert frechet_distance(first, second) == pytest.approx(8.0, rel=0.03)


@pytest.mark.parametrize("size", [8, 64])
def test_equals_torchmetrics_on_the_same_features(size: int) -> None:
    real, fake = cloud(300, size, seed=0), cloud(200, size, seed=1, shift=0.3, spread=1.2)
    oracle = FrechetInceptionDistance(feature=GivenFeatures(size))
    oracle.update(real, real=True)
    oracle.update(fake, real=False)

    assert frechet_distance(real, fake) == pytest.approx(float(oracle.compute()), rel=1e-3)


def test_fewer_points_than_axes_is_still_a_number_and_biased_upwards() -> None:
    many = frechet_distance(cloud(5000, 32, seed=0), cloud(5000, 32, seed=1))
    few = frechet_distance(cloud(20, 32, seed=0), cloud(20, 32, seed=1))

    assert 0 <= many < 1 < few


def test_a_set_has_no_distance_from_itself() -> None:
    points = cloud(100, seed=0)

    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-6)
    assert fit_gaussian(points).covariance.allclose(torch.cov(points.double().T))


@pytest.mark.parametrize(
    ("real", "fake", "code"),
    [
        (torch.zeros(1, 4), torch.zeros(9, 4), "metrics.too_few"),
        (torch.zeros(9, 4), torch.zeros(9, 5), "metrics.shape"),
        (torch.zeros(9, 4), torch.full((9, 4), torch.nan), "metrics.non_finite"),
    ],
)
def test_refuses_what_has_no_distance(real: torch.Tensor, fake: torch.Tensor, code: str) -> None:
    with pytest.raises(MlError) as caught:
        frechet_distance(real, fake)

    assert caught.value.code == code

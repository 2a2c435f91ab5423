"""Fréchet distance between two sets of features, each taken for a Gaussian.

Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, equation 6:
    d² = |m₁ - m₂|² + Tr(C₁ + C₂ - 2 (C₁C₂)^½)
With Inception features it is the FID. With any others it is not, so it is called FD here. It falls with the
number of samples even if nothing else changes: compare it at equal n only, with the floor beside it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ml.metrics.distances import check_features


class Gaussian(NamedTuple):
    """Mean, float64 [D], and covariance, float64 [D, D]."""

    mean: Tensor
    covariance: Tensor


def fit_gaussian(features: Tensor) -> Gaussian:
    """Mean and unbiased covariance (divided by N - 1) of features [N, D]."""
    values = features.double()
    mean = values.mean(0)
    centred = values - mean
    return Gaussian(mean, centred.T @ centred / (len(values) - 1))


def distance_of_gaussians(first: Gaussian, second: Gaussian) -> float:
    """Fréchet distance (squared, as everybody reports it) of two Gaussians, at least 0.

    (C₁C₂)^½ has the trace of (C₁^½ C₂ C₁^½)^½, which is symmetric: eigenvalues stay real and no matrix root
    of a non-symmetric product can fail.
    """
    values, vectors = torch.linalg.eigh(first.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = root @ second.covariance @ root
    cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    shift = (first.mean - second.mean).square().sum()
    distance = shift + first.covariance.trace() + second.covariance.trace() - 2 * cross
    return max(0.0, float(distance))


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance of two sets of features [N, D], N at least 2; 0 is equal, there is no upper end.

    Raises:
        MlError: too few samples, unlike shapes, or values that are not finite.
    """
    check_features(real, fake, least=2)
    return distance_of_gaussians(fit_gaussian(real), fit_gaussian(fake))

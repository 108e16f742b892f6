"""The Fréchet distance of two normal distributions (Dowson and Landau 1982; FID: Heusel et al. 2017).

    d² = |μ - ν|² + Tr S + Tr T - 2 Tr (S T)^½

With S = A Aᵀ and T = B Bᵀ the eigenvalues of S T are those of the symmetric (Aᵀ B)(Aᵀ B)ᵀ, real and
not negative: this avoids the square root of a matrix that is not symmetric, and its complex part. A and B
come from a pivoted Cholesky factorisation, which stops at the rank, and the smaller of (Aᵀ B)(Aᵀ B)ᵀ and
(Aᵀ B)ᵀ(Aᵀ B) is used: so sets with fewer members than dimensions have no eigenvalues that are only rounding
errors, whose square roots would cost digits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array
from nkca.metrics.scores.moments import Gaussian, moments_of

_RESIDUAL = 1e-9  # relative to the largest entry, for each row: tolerated error of a factorisation
FID_POINTS = 10


@dataclass(frozen=True)
class FactoredGaussian:
    """A normal distribution with mean (D,) and covariance ``factor @ factor.T``, factor (D, rank)."""

    mean: Tensor
    factor: Tensor

    @property
    def trace(self) -> Tensor:
        """The trace of the covariance."""
        return self.factor.square().sum()


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """d² of two normal distributions: FID, where they are fitted to features of Inception.

    Raises:
        InputError: if dimensions differ, or a covariance matrix is invalid.
    """
    if a.mean.shape != b.mean.shape:
        raise InputError(
            f"features of {len(a.mean)} and of {len(b.mean)} dimensions cannot be compared: two "
            "extractors made them"
        )
    return factored_distance(factorise(a), factorise(b))


def factored_distance(a: FactoredGaussian, b: FactoredGaussian) -> float:
    """`frechet_distance` of factorised distributions, to compare one with many."""
    product = a.factor.T @ b.factor
    rows, columns = product.shape
    square = product @ product.T if rows < columns else product.T @ product
    cross = torch.linalg.eigvalsh(square).clamp(min=0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.trace + b.trace - 2 * cross
    return max(0.0, float(distance))  # rounding may make the distance of a set to itself negative


def factorise(gaussian: Gaussian) -> FactoredGaussian:
    """Factorise the covariance.

    Raises:
        InputError: if it is not a covariance matrix, or a number is not finite.
    """
    from scipy.linalg.lapack import dpstrf  # type: ignore[import-untyped]  # in an extra

    covariance = gaussian.covariance.double().cpu().numpy()
    size = np.abs(covariance).max()
    if not (gaussian.mean.abs().max() < 1e100 and size < 1e100):  # squares must be finite too
        raise InputError("the mean or covariance of these features is not finite, or too large")
    if not np.abs(covariance - covariance.T).max() <= 1e-6 * size:
        raise InputError("this covariance matrix is not symmetric")
    packed, pivots, rank, _ = dpstrf(covariance, lower=1)
    factor = np.empty((len(covariance), rank))
    factor[pivots - 1] = np.tril(packed)[:, :rank]
    probe = np.random.default_rng(0).normal(size=(len(covariance), 4))
    lost = covariance @ probe - factor @ (factor.T @ probe)
    if np.abs(lost).max() > _RESIDUAL * len(covariance) * size:
        raise InputError("this covariance matrix is invalid: it has negative eigenvalues")
    return FactoredGaussian(gaussian.mean.double().cpu(), torch.from_numpy(factor))


@dataclass(frozen=True)
class FrechetLine:
    """FID against 1 / number of samples, extrapolated to infinitely many (Chong and Forsyth 2020).

    Args:
        points: (number of samples, FID) of random subsets of the samples.
        intercept: the line at 1/N = 0: FID∞.
        slope: slope / N is the bias of FID of N samples.
        r_squared: share of the points' variance that the line explains; also small if FID hardly
            depends on N.
    """

    points: tuple[tuple[int, float], ...]
    intercept: float
    slope: float
    r_squared: float


def frechet_line(samples: Array, reference: Gaussian, seed: int = 0) -> FrechetLine:
    """Fit the line through random subsets of half to all of the samples' features (N, D).

    With fewer than about five samples for each dimension the bias is not linear in 1/N, and the intercept
    is unreliable even if the line fits; smaller subsets (a tenth of the samples in the source) are worse.

    Raises:
        InputError: for fewer than 20 samples.
    """
    if len(samples) < 20:
        raise InputError(f"FID∞ needs at least 20 samples, got {len(samples)}")
    if not np.isfinite(samples).all():
        raise InputError("the extractor gave features that are not finite numbers")
    target = factorise(reference)
    random = np.random.default_rng(seed)
    sizes = np.linspace(len(samples) / 2, len(samples), FID_POINTS).round().astype(int)
    points = []
    for size in sizes.tolist():
        rows = np.sort(random.permutation(len(samples))[:size])
        points.append((size, factored_distance(factorise_features(samples[rows]), target)))
    inverse, values = 1 / sizes, np.array([value for _, value in points])
    slope, intercept = np.polyfit(inverse, values, 1)
    residual = np.square(values - (slope * inverse + intercept)).sum()
    spread = np.square(values - values.mean()).sum()
    r_squared = 1 - residual / spread if spread > 0 else 1.0
    return FrechetLine(tuple(points), float(intercept), float(slope), float(r_squared))


def factorise_features(features: Array) -> FactoredGaussian:
    """The normal distribution fitted to features (N, D); if N <= D, scaled deviations are the factor."""
    if len(features) > features.shape[1]:
        return factorise(moments_of(features).gaussian())
    values = torch.from_numpy(features).double()
    mean = values.mean(0)
    return FactoredGaussian(mean, (values - mean).T / (len(values) - 1) ** 0.5)

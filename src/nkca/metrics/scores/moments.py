"""Mean and covariance of features, in float64, from parts that merge.

Two sets with n and m members, means μ and ν, and scatters S = Σ (f - μ)(f - μ)ᵀ and T have together

    mean     μ + δ m / (n + m)                     δ = ν - μ
    scatter  S + T + δ δᵀ n m / (n + m)            (Chan, Golub and LeVeque 1979)

so one pass suffices, memory does not grow with the set, and shards may be merged in any grouping.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array

_ROWS = 2048


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution, for the Fréchet distance.

    Args:
        mean: float64 (D,).
        covariance: float64 (D, D), symmetric, no negative eigenvalues.
    """

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class Moments:
    """The first two moments of ``count`` >= 1 feature vectors.

    Args:
        mean: float64 (D,).
        scatter: float64 (D, D), the sum of outer products of deviations from the mean.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @staticmethod
    def of(features: Tensor) -> "Moments":
        """The moments of features (N, D), N >= 1, of any float type."""
        features = features.double()
        mean = features.mean(0)
        deviations = features - mean
        return Moments(len(features), mean, deviations.T @ deviations)

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets together."""
        count = self.count + other.count
        step = other.mean - self.mean
        between = torch.outer(step, step * (self.count * other.count / count))
        return Moments(
            count,
            self.mean + step * (other.count / count),
            between.add_(self.scatter).add_(other.scatter),
        )

    def gaussian(self) -> Gaussian:
        """The fitted normal distribution; the covariance is the unbiased one, over N - 1.

        Raises:
            InputError: for a single vector, or if a feature is not finite.
        """
        if self.count < 2:
            raise InputError("one image has no covariance: FID needs at least 2 in each set")
        if not (self.mean.isfinite().all() and self.scatter.isfinite().all()):
            raise InputError("the extractor gave features that are not finite numbers")
        return Gaussian(self.mean, self.scatter / (self.count - 1))


def moments_of(features: Array) -> Moments:
    """The moments of features (N, D), N >= 1, computed in parts: they need not fit into memory."""
    starts = range(0, len(features), _ROWS)
    parts = (Moments.of(torch.from_numpy(features[first : first + _ROWS])) for first in starts)
    return merge_all(parts)


def merge_all(parts: Iterable[Moments]) -> Moments:
    """The moments of all parts together; there is at least one."""
    return reduce(Moments.merge, parts)

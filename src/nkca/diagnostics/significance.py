"""The significance of a mean of independent values, if the true mean is 0.

    t = mean / (s / √n)        z = sign(t) √(ν log(1 + t²/ν)) (8ν + 1) / (8ν + 3),   ν = n - 1

z is the deviate of the normal distribution that has the p-value of t in Student's distribution with ν
degrees of freedom (Wallace 1959, Annals of Mathematical Statistics 30, 1124: within 0.02 for ν >= 5 and
|z| < 4). So z of few and of many values can be compared, and p = P(|Z| > |z|) = erfc(|z| / √2).
"""

import math
from statistics import NormalDist

import torch
from torch import Tensor

MAX_Z = 1e3  # bound of |z|, for example of a mean without spread: finite, for JSON


def standard_error(values: Tensor) -> Tensor:
    """Standard error of the mean of n >= 2 independent values: (n, ...) -> (...) float64."""
    return values.double().std(0) / math.sqrt(len(values))


def z_scores(values: Tensor, least_error: float = 0.0) -> Tensor:
    """z of the mean of n >= 2 independent values: (n, ...) -> (...) float64, |z| <= MAX_Z.

    It is 0 for values that are all 0, and ± `MAX_Z` for values that are not finite, or equal and not 0.

    Args:
        least_error: a lower bound of the standard error.
    """
    mean = values.double().mean(0)
    t = mean / standard_error(values).clamp(min=least_error)
    degrees = len(values) - 1
    size = (degrees * torch.log1p(t.square() / degrees)).sqrt()
    z = size * (8 * degrees + 1) / (8 * degrees + 3) * t.sign()
    z = torch.where(mean == 0, 0.0, z)
    certain = torch.copysign(torch.full_like(z, MAX_Z), z)
    return torch.where(z.isfinite(), z, certain).clamp(-MAX_Z, MAX_Z)


def p_value(z: float, comparisons: int = 1) -> float:
    """P(|Z| > |z|), times the number of comparisons that z is the largest of (Bonferroni), at most 1."""
    return min(1.0, comparisons * math.erfc(abs(z) / math.sqrt(2)))


def p_value_above(z: float) -> float:
    """P(Z > z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def threshold(p: float, comparisons: int = 1) -> float:
    """The |z| that the largest of that many comparisons exceeds with probability at most p."""
    return NormalDist().inv_cdf(1 - p / (2 * comparisons))


def combine_p_values(p_values: tuple[float, ...]) -> float:
    """One p-value for several tests of the same claim, however they depend on each other (Bonferroni)."""
    return min(1.0, len(p_values) * min(p_values))

"""How surprising a mean of independent values is, if the true mean is 0.

    t = mean / (s / √n)        z = sign(t) √(ν log(1 + t²/ν)) (8ν + 1) / (8ν + 3),   ν = n - 1

z is the deviate of the normal distribution that is as surprising as t is of Student's with ν degrees
of freedom (Wallace 1959, Annals of Mathematical Statistics 30, 1124: within 0.02 for ν >= 5, |z| < 4).
So z of few and of many values can be compared, and p = P(|Z| > |z|) = erfc(|z| / √2).
"""

import math
from statistics import NormalDist

import torch
from torch import Tensor

MAX_Z = 1e3  # |z| of what chance cannot explain, such as a mean without spread: finite, for JSON


def standard_error(values: Tensor) -> Tensor:
    """Of the mean of n >= 2 independent values along the first axis: (n, ...) -> (...) float64."""
    return values.double().std(0) / math.sqrt(len(values))


def z_scores(values: Tensor, least_error: float = 0.0) -> Tensor:
    """The surprise of the mean of n >= 2 independent values (n, ...) -> (...) float64, |z| <= MAX_Z.

    Values that are all 0 are no surprise, 0; values that are not finite, or equal and not 0, are
    `MAX_Z`.

    Args:
        least_error: what the standard error is known to be at least.
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


def combined(p_values: tuple[float, ...]) -> float:
    """One p-value for several tests of the same claim, however they depend on each other (Bonferroni)."""
    return min(1.0, len(p_values) * min(p_values))

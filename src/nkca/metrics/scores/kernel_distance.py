"""Kernel distances of two sets of features.

KID (Binkowski et al. 2018), unbiased for any size:

    MMD² = mean_{i≠j} k(xᵢ, xⱼ) + mean_{i≠j} k(yᵢ, yⱼ) - 2 mean k(xᵢ, yⱼ)      k(x, y) = (x·y / D + 1)³

averaged over random subsets. Its expectation is 0 for equal distributions, so an estimate may be negative.

CMMD (Jayasumana et al. 2024), for the features of CLIP: all pairs, i = j too, of features of length 1, with
k(x, y) = exp(-|x - y|² / (2 σ²)), σ = 10, times 1000. It is never negative.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array

_ROWS = 1024
_CMMD_SIGMA, _CMMD_SCALE = 10.0, 1000.0
Draws = list[list[npt.NDArray[np.int64]]]


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation of MMD² over ``subsets`` draws of ``subset_size`` from each set."""

    mean: float
    deviation: float
    subsets: int
    subset_size: int


def kernel_distance(
    samples: Array, reference: Array, subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """KID of features (N, D) and (M, D).

    The random subsets are those of torch-fidelity, seed included, so that the deviation agrees too. If a
    subset would be all of both sets, there is only one, and the deviation is 0.

    Raises:
        InputError: for fewer than 2 members in a set.
    """
    size = min(subset_size, len(samples), len(reference))
    if size < 2:
        raise InputError("KID needs at least 2 images in each set")
    if size == len(samples) == len(reference):
        subsets = 1
    random = np.random.RandomState(seed)
    draws = [
        [random.choice(len(features), size, replace=False) for features in (samples, reference)]
        for _ in range(subsets)
    ]
    together = (len(samples) + len(reference)) ** 2 < subsets * (2 * size) ** 2
    groups = [draws] if together else [[draw] for draw in draws]
    values = torch.cat([_distances(samples, reference, group, size) for group in groups])
    return KernelDistance(values.mean().item(), values.std(correction=0).item(), subsets, size)


def _distances(samples: Array, reference: Array, draws: Draws, size: int) -> Tensor:
    """MMD² of some draws, float64 (draws,): each kernel value they need is computed once for all."""
    x, of_x = _members_of_draws(samples, [rows for rows, _ in draws])
    y, of_y = _members_of_draws(reference, [rows for _, rows in draws])
    within = torch.zeros(len(draws), dtype=torch.float64)
    for features, members in ((x, of_x), (y, of_y)):
        itself = members.T @ (features.square().sum(1) / features.shape[1] + 1).pow(3)
        within += (_kernel_sums(features, members, features, members) - itself) / (
            size * (size - 1)
        )
    return within - 2 * _kernel_sums(x, of_x, y, of_y) / size**2


def _members_of_draws(features: Array, draws: list[npt.NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """Features of the rows in any draw, float64 (N, D), and their membership, 0 or 1 (N, draws)."""
    rows = np.unique(np.concatenate(draws))
    members = torch.zeros(len(rows), len(draws), dtype=torch.float64)
    for number, draw in enumerate(draws):
        members[np.searchsorted(rows, draw), number] = 1
    return torch.from_numpy(features[rows]).double(), members


def _kernel_sums(x: Tensor, of_x: Tensor, y: Tensor, of_y: Tensor) -> Tensor:
    """The sum of k(x, y) over the members of each draw, block by block: (draws,)."""
    total = torch.zeros(of_x.shape[1], dtype=torch.float64)
    for first in range(0, len(x), _ROWS):
        block, members = x[first : first + _ROWS], of_x[first : first + _ROWS]
        kernel = (block @ y.T).div_(x.shape[1]).add_(1).pow_(3)
        total += (members * (kernel @ of_y)).sum(0)
    return total


def cmmd(samples: Array, reference: Array) -> float:
    """CMMD of features (N, D) and (M, D)."""
    x, y = (F.normalize(torch.from_numpy(features).double()) for features in (samples, reference))
    return _CMMD_SCALE * (_mean_rbf(x, x) + _mean_rbf(y, y) - 2 * _mean_rbf(x, y))


def _mean_rbf(x: Tensor, y: Tensor) -> float:
    """The mean of k(x, y) over all pairs of rows of length 1, block by block."""
    blocks = (x[first : first + _ROWS] @ y.T for first in range(0, len(x), _ROWS))
    total = sum(((block - 1) / _CMMD_SIGMA**2).exp().sum().item() for block in blocks)
    return float(total) / (len(x) * len(y))

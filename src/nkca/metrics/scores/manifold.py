"""Nearest neighbours among features, and the scores that use them.

The manifold of a set: a ball around each member that reaches its k-th nearest other member.

precision   share of samples in a ball of the reference     (k = 3, Kynkäänniemi et al. 2019)
recall      share of the reference in a ball of the samples (k = 3)
density     how many balls of the reference a sample is in, over k (k = 5, Naeem et al. 2020)
coverage    share of the reference's balls that hold a sample      (k = 5)

Distances are taken in float64, block by block; pairs closer than a millionth of their norm (rounding
of the features themselves) count as equal, so that copies have distance exactly 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array

MANIFOLD_NEIGHBOURS = 3
DENSITY_NEIGHBOURS = 5
_EQUAL = 1e-12  # of the sum of the squared norms
_ROWS, _COLUMNS = 1024, 8192


@dataclass(frozen=True)
class Manifold:
    """The four scores: shares in [0, 1], except density, which has no upper bound."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(samples: Array, reference: Array) -> Manifold:
    """Compare the manifolds of features (N, D) and (M, D).

    Raises:
        InputError: unless there are more than 3 samples and more than 5 in the reference.
    """
    radii = squared_radii(reference, DENSITY_NEIGHBOURS)
    balls, wide_balls = radii[:, MANIFOLD_NEIGHBOURS - 1], radii[:, -1]
    sample_balls = squared_radii(samples, MANIFOLD_NEIGHBOURS)[:, -1]
    precision = torch.zeros(len(samples), dtype=torch.bool)
    recall, coverage = torch.zeros(2, len(reference), dtype=torch.bool)
    hits = 0
    for rows, columns, squared in _blocks(samples, reference):
        precision[rows] |= (squared <= balls[columns]).any(1)
        recall[columns] |= (squared <= sample_balls[rows, None]).any(0)
        inside = squared <= wide_balls[columns]
        coverage[columns] |= inside.any(0)
        hits += int(inside.sum())
    return Manifold(
        precision=_share(precision),
        recall=_share(recall),
        density=hits / (DENSITY_NEIGHBOURS * len(samples)),
        coverage=_share(coverage),
    )


def squared_radii(features: Array, k: int) -> Tensor:
    """Squared distances of each of (N, D) to its k nearest others, ascending: float64 (N, k).

    Raises:
        InputError: unless N > k.
    """
    if len(features) <= k:
        raise InputError(f"{k} nearest neighbours need {k + 1} images, got {len(features)}")
    nearest = torch.full((len(features), k), torch.inf, dtype=torch.float64)
    for rows, columns, squared in _blocks(features, features):
        _leave_out_itself(rows, columns, squared)
        both = torch.cat([nearest[rows], squared], 1)
        nearest[rows] = both.topk(k, largest=False).values
    return nearest


def nearest_neighbours(
    samples: Array, others: Array, leave_out_itself: bool = False
) -> tuple[Tensor, Tensor]:
    """Distances of samples (N, D) to the nearest of ``others`` (M, D), float64 (N,), and its index, int64.

    Args:
        leave_out_itself: both are the same set, and no member is its own neighbour.
    """
    distance = torch.full((len(samples),), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(samples), dtype=torch.int64)
    for rows, columns, squared in _blocks(samples, others):
        if leave_out_itself:
            _leave_out_itself(rows, columns, squared)
        value, where = squared.min(1)
        closer = value < distance[rows]
        distance[rows] = torch.where(closer, value, distance[rows])
        index[rows] = torch.where(closer, where + columns.start, index[rows])
    return distance.sqrt(), index


def _blocks(a: Array, b: Array) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances block by block: rows (of a), columns (of b), float64 (rows, columns)."""
    for top in range(0, len(a), _ROWS):
        x = torch.from_numpy(a[top : top + _ROWS]).double()
        for left in range(0, len(b), _COLUMNS):
            y = torch.from_numpy(b[left : left + _COLUMNS]).double()
            norms = x.square().sum(1, keepdim=True) + y.square().sum(1)
            squared = torch.addmm(norms, x, y.T, alpha=-2)
            squared[squared <= _EQUAL * norms] = 0
            yield slice(top, top + len(x)), slice(left, left + len(y)), squared


def _leave_out_itself(rows: slice, columns: slice, squared: Tensor) -> None:
    """Set the distances of members to themselves that are in the block to infinity."""
    first, stop = max(rows.start, columns.start), min(rows.stop, columns.stop)
    itself = torch.arange(first, max(first, stop))
    squared[itself - rows.start, itself - columns.start] = torch.inf


def _share(which: Tensor) -> float:
    return which.double().mean().item()

"""Does a chain keep its distribution? Statistics of the state that must not drift, and their test.

x_0 is a noised data image, so it already has the distribution that the chain should keep: then
E[h(x_t)] = E[h(x_0)] for every function h and step t. Chains of different images are independent, and
for each the difference

    d = mean of h(x_t) over a window of steps - mean of h(x_0) over several draws of x_0

has mean 0; both averages only reduce noise. The significance of the mean of d over images is a z-score
(`nkca.diagnostics.significance`), and the largest of all statistics and windows is judged by
Bonferroni's rule.

The statistics are functions of the state as real numbers, in either state space. Thresholds are values
that clean pixels take; only noise, or the scrambled level, exceeds the largest of them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nkca.diagnostics.significance import p_value, z_scores

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
STATISTICS = (
    "mean",
    "mean square",
    "mean fourth power",
    "variance within an image",
    "product of horizontal neighbours",
    "product of vertical neighbours",
    "square of the mean of the channels",
    "square of the mean of 4x4 pixels",
    *(f"share of values above the clean {round(100 * q)} % quantile" for q in QUANTILES),
)
SAMPLED_VALUES = 1 << 20  # pixels from which the thresholds are computed


@dataclass(frozen=True)
class Drift:
    """How far statistics of the state have moved since step 0; plain numbers.

    Args:
        steps: the last step of each window; it begins after the last step of the one before.
        statistics: their names.
        z_scores: a row for each statistic, a column for each window; |z| is at most 1000.
        effects: the same shape: mean of d / standard deviation of h(x_0).
        p_value: probability of a |z| as large as the largest, if the chain is stationary.
    """

    steps: tuple[int, ...]
    statistics: tuple[str, ...]
    z_scores: tuple[tuple[float, ...], ...]
    effects: tuple[tuple[float, ...], ...]
    p_value: float

    @property
    def comparisons(self) -> int:
        """The number of z-scores, of which the largest is judged."""
        return len(self.steps) * len(self.statistics)

    @property
    def largest(self) -> tuple[float, ...]:
        """The largest |z| of any statistic, in each window."""
        return tuple(max(map(abs, column)) for column in zip(*self.z_scores, strict=True))

    @property
    def worst(self) -> str:
        """The statistic with the largest |z| in any window."""
        rows = [max(map(abs, row)) for row in self.z_scores]
        return self.statistics[rows.index(max(rows))]


def thresholds(z: Tensor) -> Tensor:
    """Quantiles of clean states (N, C, H, W), float32 (5,): the limits for `state_statistics`."""
    values = z.flatten()
    values = values[:: -(-len(values) // SAMPLED_VALUES)].float().sort().values
    return torch.stack([values[round(q * (len(values) - 1))] for q in QUANTILES])


def state_statistics(x: Tensor, limits: Tensor) -> Tensor:
    """The statistics of states x (B, C, H, W), float or int: float64 (B, S) on the CPU.

    Args:
        limits: what `thresholds` returned.
    """
    x = x.float()
    squares = x.square()
    mean, mean_square = _mean(x), _mean(squares)
    height, width = x.shape[-2:]
    coarse = F.adaptive_avg_pool2d(x, (-(-height // 4), -(-width // 4)))
    rows = [
        mean,
        mean_square,
        _mean(squares.square()),
        mean_square - mean.square(),
        _mean(x * x.roll(1, -1)),
        _mean(x * x.roll(1, -2)),
        _mean(x.mean(1).square()),
        _mean(coarse.square()),
        *(_mean((x > limit).float()) for limit in limits.to(x.device)),
    ]
    return torch.stack(rows, 1).cpu().double()


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)


def measure_drift(steps: tuple[int, ...], start: Tensor, later: Tensor) -> Drift:
    """Test the statistics of N >= 2 independent chains.

    Args:
        steps: the last step of each of W windows.
        start: float64 (N, R, S), of R >= 2 draws of x_0.
        later: float64 (N, W, S), the means over the windows.
    """
    change = later - start.mean(1, keepdim=True)
    spread = start.flatten(0, 1).std(0)
    z = z_scores(change).T
    effects = torch.where(spread > 0, change.mean(0) / spread, 0.0).T
    return Drift(
        steps=steps,
        statistics=STATISTICS,
        z_scores=tuple(map(tuple, z.tolist())),
        effects=tuple(map(tuple, effects.nan_to_num().tolist())),
        p_value=p_value(z.abs().max().item(), z.numel()),
    )


@dataclass(frozen=True)
class PictureDrift:
    """How far features of the shown pictures have moved since step 0; plain numbers.

    As `Drift`, with the features of an extractor as statistics, at single steps. It detects what simple
    statistics miss, such as pictures of one kind that turn into another.

    Args:
        largest: the largest |z| of any feature, at each of ``steps``.
        comparisons: features times steps.
        p_value: of the largest |z|, if the chain is stationary.
    """

    steps: tuple[int, ...]
    largest: tuple[float, ...]
    comparisons: int
    p_value: float


def measure_picture_drift(steps: tuple[int, ...], features: Tensor) -> PictureDrift:
    """Test features (N, 1 + len(steps), D) of N >= 2 independent chains; the first are of step 0."""
    z = z_scores(features[:, 1:] - features[:, :1]).abs()
    largest = z.amax(1)
    return PictureDrift(
        steps=steps,
        largest=tuple(largest.tolist()),
        comparisons=z.numel(),
        p_value=p_value(largest.max().item(), z.numel()),
    )

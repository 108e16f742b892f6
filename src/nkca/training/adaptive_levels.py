"""Training levels drawn where the loss varies most; weights keep what is minimized the same.

A law of training levels, log-normal or uniform, is cut into `BINS` bins k of shares m_k. Levels are drawn
with q_k = m_k r_k instead, and the loss of each image is divided by its r_k: the expectation of this loss,
and of its gradient, is what it was. With n draws the variance of the mean within bins is the sum of
m_k² s_k² / (n q_k), s_k being the standard deviation of the loss in bin k. It is smallest where q_k is
proportional to m_k s_k (Neyman 1934; Nichol and Dhariwal 2021, arXiv 2102.09672, draw by a running second
moment). So

    r_k = 1/4 + 3/4 s_k / (sum of m_k s_k)

No weight exceeds 4, and a constant added to the loss changes nothing. The deviation of the loss stands for
that of its gradient, which would cost a backward pass for each image. Where the loss still falls fast its
running deviation is large too: these levels are drawn more often, as Diffusion-GAN (Wang et al. 2022, arXiv
2206.02262) moves its levels with what is learned.

The state is running sums of each bin: of 1, of the loss, of its square, which forget by 1/e in `MEMORY`
images. It is part of the progress of a run, and made of the whole batch, so that each rank has the same.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.levels import LevelDraw
from nkca.noise import Noise
from nkca.system.device import send
from nkca.training.objective import Objective, Terms

BINS = 16
MEMORY = 4096.0  # images
FEWEST = 32.0  # images of each bin before the law changes
SHARE_OF_LAW = 0.25  # of all draws, whatever the deviations

Quantile = Callable[[Tensor], Tensor]
"""Shares u in [0, 1), float64 (N,) -> the levels in (0, 1] that this share of the law is below."""


@dataclass(frozen=True)
class AdaptiveLevels:
    """Levels of the law with that ``quantile``, more of them where the loss varies.

    All functions take ``sums``, the running sums, 3 for each bin; () at the start of a run.
    """

    quantile: Quantile

    def draw(self, sums: Sequence[float]) -> LevelDraw:
        """The draw of levels from q."""
        bounds, shares = self._bins()
        likely = shares * self._ratios(sums)
        upper = likely.cumsum(0)

        def draw(noise: Noise, device: torch.device) -> Tensor:
            u = noise.uniform(torch.empty(len(noise), dtype=torch.float64)) * upper[-1]
            k = torch.searchsorted(upper, u, right=True).clamp(max=len(shares) - 1)
            within = 1 - (upper[k] - u) / likely[k]
            levels = self.quantile((bounds[k] + within * shares[k]).clamp(0, 1 - 1e-9))
            return send(levels.float(), device)

        return draw

    def weighted(self, objective: Objective, sums: Sequence[float]) -> Objective:
        """The objective whose loss is divided by r at the level of each image."""

        def weighted(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
            terms = objective(chain, z, noise_level, noise)
            return replace(terms, loss=terms.loss / self.ratio(noise_level, sums))

        return weighted

    def after(self, sums: Sequence[float], noise_level: Tensor, loss: Tensor) -> tuple[float, ...]:
        """The sums after a batch at levels (B,), whose weighted loss was ``loss`` (B,); on the CPU."""
        k = self._bin(noise_level)
        plain = loss.double() * self.ratio(noise_level, sums).double()
        each = torch.stack([torch.ones_like(plain), plain, plain.square()])
        old = self._table(sums) * math.exp(-len(loss) / MEMORY)
        return tuple(old.index_add(1, k, each).flatten().tolist())

    def ratio(self, noise_level: Tensor, sums: Sequence[float]) -> Tensor:
        """r at levels (B,), of their dtype and device."""
        ratios = self._ratios(sums).to(noise_level)
        return ratios[self._bin(noise_level)]

    def _ratios(self, sums: Sequence[float]) -> Tensor:
        """r of each bin, float64 (K,); 1 until each has been seen `FEWEST` times."""
        count, loss, square = self._table(sums)
        if (count < FEWEST).any():
            return torch.ones_like(count)
        deviation = (square / count - (loss / count).square()).clamp(min=0).sqrt()
        mean = (self._bins()[1] * deviation).sum()
        if mean == 0:
            return torch.ones_like(count)
        ratios: Tensor = SHARE_OF_LAW + (1 - SHARE_OF_LAW) * deviation / mean
        return ratios

    def _table(self, sums: Sequence[float]) -> Tensor:
        """The sums as float64 (3, K)."""
        bins = len(self._bins()[1])
        return torch.tensor(sums or [0.0] * 3 * bins, dtype=torch.float64).view(3, bins)

    def _bin(self, noise_level: Tensor) -> Tensor:
        """The bin of levels (B,)."""
        interior = self.quantile(self._bins()[0][1:]).to(noise_level)
        bins: Tensor = torch.bucketize(noise_level.contiguous(), interior, right=True)
        return bins

    def _bins(self) -> tuple[Tensor, Tensor]:
        """The lower bound of each bin as a share of the law, and m: float64 (K,) each.

        Bins in which the law has one level alone are joined with their neighbour.
        """
        bounds = torch.arange(BINS, dtype=torch.float64) / BINS
        levels = self.quantile(bounds)
        rises = torch.cat([torch.tensor([True]), levels[1:] > levels[:-1]])
        bounds = bounds[rises]
        return bounds, torch.diff(bounds, append=torch.ones(1, dtype=torch.float64))

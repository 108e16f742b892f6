r"""The noise kernel over levels 0..K-1 with one more class, K: "scrambled".

Noising:     x is scrambled with probability b_x, else z
Ansatz:      y is scrambled with probability e, else x with probability w, else z

If x is a noised z, then y is scrambled with probability e + (1 - e) w b_x. Setting that to b_y gives

    e = (b_y - w b_x) / (1 - w b_x)

and y is a noised z at level b_y. Drawing z from p(z|x) gives Eq. 27.

Departure from the paper: e is a probability only while b_y >= w b_x. The paper's code lets it break:
its default anneal ends 7.6 % scrambled while the network is told 1 %. Here w' = min(w, b_y / b_x):
nothing changes where the formula was valid, and elsewhere the marginal is exact.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.distributions.categorical import PointLevels, Scramble
from nkca.distributions.contracts import Distribution, Posterior
from nkca.levels import expand


@dataclass(frozen=True)
class CategoricalKernel:
    """The kernel of Eq. 27; states are int64 in 0..K, K = ``num_classes`` is "scrambled"."""

    num_classes: int
    default_lag: float = 0.95

    def add_noise(self, z: Tensor, noise_level: Tensor) -> Scramble:
        """p(x|z): z int64 (B, C, H, W) in 0..K-1, levels (B,)."""
        b = expand(noise_level, z)
        return Scramble(b, torch.zeros_like(b), z, PointLevels(z), self.num_classes)

    def transition(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: float
    ) -> Distribution:
        """p(y|x), Eq. 27 with the lag cap: x int64 (B, C, H, W) in 0..K, levels (B,), lag in [0, 1)."""
        b_x, b_y = expand(level_x, x), expand(level_y, x)
        w = (b_y / b_x).clamp(max=lag)
        e = ((b_y - w * b_x) / (1 - w * b_x)).clamp(min=0)  # the cap makes it 0 but for rounding
        return p_z.mix(scrambled=e, keep=w, x=x, num_classes=self.num_classes)

    def prior(self, shape: tuple[int, ...]) -> PointLevels:
        """All pixels scrambled."""
        return PointLevels(torch.full(shape, self.num_classes))

    def loss_floor(self, noise_level: Tensor, lag: float) -> Tensor:
        """The entropy of x given y if z were known, nats per dimension, (B,)."""
        b = noise_level
        e = b * (1 - lag) / (1 - lag * b)
        return b * _binary_entropy(e + (1 - e) * lag) + (1 - b) * _binary_entropy(e)


def _binary_entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p) - torch.xlogy(1 - p, 1 - p)

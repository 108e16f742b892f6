r"""The noise kernel over levels 0..K-1 with one more class, K: "scrambled".

Noising:     x is scrambled with probability b_x, else z
Ansatz:      y is scrambled with probability e, else x with probability w, else z

If x is a noised z, then y is scrambled with probability e + (1 - e) w b_x. Setting that to b_y gives

    e = (b_y - w b_x) / (1 - w b_x)

and y is a noised z at level b_y. Drawing z from p(z|x) gives Eq. 27.

Departure from the paper: e is a probability only while b_y >= w b_x. The paper's code does not check it:
its default anneal ends with 7.6 % of pixels scrambled, while the network is told 1 %. Here
w' = min(w, b_y / b_x):
nothing changes where the formula was valid, and elsewhere the marginal is exact.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.distributions.categorical import Categorical, PointLevels, Scramble
from nkca.distributions.contracts import Distribution, Posterior, Pushable
from nkca.kernels.contract import Lag
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

    def transition_given(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, z: Tensor, lag: Lag
    ) -> Scramble:
        """p(y|x, z), the ansatz with the lag cap; arguments as in `transition`, z as x."""
        e, w = _ansatz(x, level_x, level_y, lag)
        return Scramble(e, w, x, PointLevels(z), self.num_classes)

    def transition(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: Lag
    ) -> Distribution:
        """p(y|x), Eq. 27 with the lag cap: x int64 (B, C, H, W) in 0..K, levels (B,), lag in [0, 1].

        Raises:
            TypeError: unless ``p_z`` is a `Categorical` or `Pushable`.
        """
        return push_scramble(p_z, *_ansatz(x, level_x, level_y, lag), x, self.num_classes)

    def prior(self, shape: tuple[int, ...]) -> PointLevels:
        """All pixels scrambled."""
        return PointLevels(torch.full(shape, self.num_classes))

    def loss_floor(self, noise_level: Tensor, lag: float) -> Tensor:
        """The entropy of x given y if z were known, nats per dimension, (B,)."""
        b = noise_level
        e = b * (1 - lag) / (1 - lag * b)
        return b * _binary_entropy(e + (1 - e) * lag) + (1 - b) * _binary_entropy(e)


def push_scramble(
    p_z: Posterior, scrambled: Tensor, keep: Tensor, x: Tensor, num_classes: int
) -> Distribution:
    """Push ``p_z`` through the ansatz: y is scrambled with probability ``scrambled``, else x with ``keep``,
    else z.

    ``scrambled`` and ``keep``: float in [0, 1], broadcastable to x, int64 (B, C, H, W) in 0..K.

    Raises:
        TypeError: unless ``p_z`` is a `Categorical` or `Pushable`.
    """
    if isinstance(p_z, Categorical):
        return Scramble(scrambled, keep, x, p_z, num_classes)
    if isinstance(p_z, Pushable):
        return p_z.push(lambda z: Scramble(scrambled, keep, x, PointLevels(z), num_classes))
    raise TypeError(
        f"the categorical kernel needs a Categorical posterior, or one that is Pushable, not a "
        f"{type(p_z).__name__}"
    )


def _ansatz(x: Tensor, level_x: Tensor, level_y: Tensor, lag: Lag) -> tuple[Tensor, Tensor]:
    """The probabilities e of "scrambled" and w of x, for levels (B,)."""
    b_x, b_y = expand(level_x, x), expand(level_y, x)
    w = (b_y / b_x).clamp(max=lag)
    return ((b_y - w * b_x) / (1 - w * b_x)).clamp(
        min=0
    ), w  # with the cap, negative only by rounding


def _binary_entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p) - torch.xlogy(1 - p, 1 - p)

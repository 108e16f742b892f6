r"""The noise kernel over real-valued images.

Noising:     x | z ~ N(a_x z, b_x)            with a = 1 - b: the *variance* is b, not b²
Ansatz:      y = w x + (a_y - a_x w) z + N(0, b_y - w² b_x)

If x is a noised z then w x has mean w a_x z and variance w² b_x, so y has mean a_y z and variance
b_y: it is a noised z at level b_y. Drawing z from p(z|x) = N(mu, s²) integrates to Eq. 19:

    mean = w x + (a_y - a_x w) mu
    var  = b_y - w² b_x + (a_y - a_x w)² s²

Departure from the paper: the ansatz is a distribution only while b_y >= w² b_x. The paper's code does not
check it, and an anneal of fewer than about 34 steps gives NaN. Here w' = min(w, sqrt(b_y / b_x)):
nothing changes where the formula was valid, and elsewhere the marginal is exact.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.distributions.contracts import Distribution, Posterior, Pushable
from nkca.distributions.normal import Normal
from nkca.kernels.contract import Lag
from nkca.levels import expand

MIN_NOISE_LEVEL = 1e-7  # levels are clamped to it, so that variances stay positive
MIN_SIGNAL = 1e-3  # a is clamped to it in sigma, which stays finite at level 1


def signal(noise_level: Tensor) -> Tensor:
    """a = 1 - b, the factor of z in x at level b; any shape."""
    return 1 - noise_level


def log_sigma(noise_level: Tensor) -> Tensor:
    """ln(sigma), sigma = sqrt(b) / a: the noise in units of the signal; any shape."""
    return 0.5 * noise_level.log() - signal(noise_level).clamp(min=MIN_SIGNAL).log()


def levels_of_sigma(sigma: Tensor) -> Tensor:
    """The levels b with sqrt(b) / (1 - b) = sigma >= 0, any shape: b = u², sigma u² + u - sigma = 0."""
    return (2 * sigma / (1 + (1 + 4 * sigma.square()).sqrt())).square()


def pooled_levels(noise_level: Tensor, pooling: float) -> Tensor:
    """The levels of states whose sigma is ``pooling`` times smaller; any shape.

    The mean of pooling x pooling independent draws of noise has 1 / pooling of their standard deviation,
    and a mean of pixels is a pixel: this is what noise of those levels is in an image of such means.
    """
    return noise_level if pooling == 1 else levels_of_sigma(log_sigma(noise_level).exp() / pooling)


def linear_denoiser_variance(noise_level: Tensor, data_std: float) -> Tensor:
    """The variance b sd² / (a² sd² + b) of the best linear denoiser's error; levels of any shape."""
    variance = data_std**2
    return noise_level * variance / (signal(noise_level).square() * variance + noise_level)


def sigma_of_level(noise_level: float) -> float:
    """sqrt(b) / a at level b in (0, 1]; infinite at 1."""
    return math.sqrt(noise_level) / (1 - noise_level) if noise_level < 1 else math.inf


def level_of_sigma(sigma: float) -> float:
    """`levels_of_sigma` of one number in double precision; 1 for infinity."""
    if math.isinf(sigma):
        return 1.0
    return levels_of_sigma(torch.tensor(sigma, dtype=torch.float64)).item()


@dataclass(frozen=True)
class ContinuousKernel:
    """The kernel of Eq. 19; states are float in about [-1, 1]."""

    default_lag: float = 0.5

    def add_noise(self, z: Tensor, noise_level: Tensor) -> Normal:
        """p(x|z) = N(a z, b): z float (B, C, H, W), levels (B,)."""
        b = expand(noise_level, z).clamp(min=MIN_NOISE_LEVEL)
        return Normal(signal(b) * z, b.sqrt())

    def transition_given(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, z: Tensor, lag: Lag
    ) -> Normal:
        """p(y|x, z), the ansatz with the lag cap; arguments as in `transition`, z as x."""
        shift, scale, variance = _ansatz(x, level_x, level_y, lag)
        return Normal(shift + scale * z, variance.sqrt())

    def transition(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: Lag
    ) -> Distribution:
        """p(y|x), Eq. 19 with the lag cap: x float (B, C, H, W), levels (B,), lag in [0, 1].

        Raises:
            TypeError: unless ``p_z`` is a `Normal` or `Pushable`.
        """
        return push_affine(p_z, *_ansatz(x, level_x, level_y, lag))

    def prior(self, shape: tuple[int, ...]) -> Normal:
        """N(0, 1): p(x|z) at level 1, for any z."""
        return Normal(torch.zeros(shape), torch.ones(()))

    def loss_floor(self, noise_level: Tensor, lag: float) -> Tensor:
        """The entropy of N(., b (1 - w²)), nats per dimension, (B,): negative for small b."""
        return 0.5 * (2 * math.pi * math.e * noise_level * (1 - lag**2)).log()


def push_affine(p_z: Posterior, shift: Tensor, scale: Tensor, variance: Tensor) -> Distribution:
    """Push ``p_z`` through the ansatz: ``shift + scale z + N(0, variance)``; all broadcastable to z.

    Raises:
        TypeError: unless ``p_z`` is a `Normal` or `Pushable`.
    """
    if isinstance(p_z, Normal):
        std = (variance + scale.square() * p_z.std.square()).sqrt()
        return Normal(shift + scale * p_z.mean, std)
    if isinstance(p_z, Pushable):
        return p_z.push(lambda z: Normal(shift + scale * z, variance.sqrt()))
    raise TypeError(
        f"the continuous kernel needs a Normal posterior, or one that is Pushable, not a "
        f"{type(p_z).__name__}"
    )


def _ansatz(x: Tensor, level_x: Tensor, level_y: Tensor, lag: Lag) -> tuple[Tensor, Tensor, Tensor]:
    """Shift, scale of z and variance of y, for levels (B,)."""
    b_x = expand(level_x, x).clamp(min=MIN_NOISE_LEVEL)
    b_y = expand(level_y, x).clamp(min=MIN_NOISE_LEVEL)
    w = (b_y / b_x).sqrt().clamp(max=lag)
    variance = (b_y - w.square() * b_x).clamp(min=0)  # with the cap, negative only by rounding
    return w * x, signal(b_y) - signal(b_x) * w, variance

r"""Inversion: the noise from which the deterministic flow makes a given image. Continuous states.

A step of `ddim` from level b_y down to b_x, with u = x / a, sigma = sqrt(b) / a and D the mean of p(z|x):

    u_x = D(u_y) + (sigma_x / sigma_y) (u_y - D(u_y))

Inversion solves this for u_y, so the way back returns to where it came from, not only nearly. With
q = sigma_y / sigma_x the equation is the fixed point

    u_y = q u_x + (1 - q) D(u_y)

It is contracted by at most (q - 1) times the slope of D in u: below 1 where the levels lie close (about 40
steps of the sigma ladder). The last step, from the lowest level to the image, is D(u) = z; it is solved
by u <- u + z - D(u), which converges in the directions that the denoiser lets through, and the best u
met is kept. What remains is what the denoiser cannot draw: `Inversion.error` states it, after the way back.
After DDIM inversion (Song et al. 2021, arXiv 2010.02502, section 5.4), which takes D(u_x) for D(u_y).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.errors import InputError
from nkca.kernels.continuous import ContinuousKernel, sigma_of_level
from nkca.levels import expand
from nkca.noise import Noise
from nkca.sampling.samplers import ddim

TOLERANCE = 1e-4  # in units of pixels in [-1, 1]: an eightieth of a byte
MAX_ROUNDS = 12  # of a step upwards; most take three or four
IMAGE_ROUNDS = 40  # of the step from the image to the lowest level


@dataclass(frozen=True)
class Inversion:
    """An image as noise.

    Args:
        noise: x (B, C, H, W) at the highest level.
        levels: of the way back, from the highest to the lowest.
        error: the root of the mean square of (image made of ``noise``) - (image), (B,), pixels in [-1, 1].
    """

    noise: Tensor
    levels: Sequence[float]
    error: Tensor


def invert(
    chain: Chain, z: Tensor, levels: Sequence[float], tick: Callable[[], None] = lambda: None
) -> Inversion:
    """The noise of clean states z, float (B, C, H, W) in [-1, 1].

    Args:
        levels: falling, all below 1, as `nkca.sampling.ladders.sigma_ladder` gives them.
        tick: called after each step upwards.

    Raises:
        InputError: unless states are continuous and the levels fall below 1.
    """
    if not isinstance(chain.kernel, ContinuousKernel):
        raise InputError(
            "inversion is for continuous states: categories have no deterministic flow"
        )
    if levels[0] >= 1 or any(x <= y for x, y in itertools.pairwise(levels)):
        raise InputError("inversion takes levels below 1 that fall, as those of the sigma ladder")
    x = _state_of_image(chain, z, levels[-1])
    for level_x, level_y in itertools.pairwise(levels[::-1]):
        x = _up(chain, x, level_x, level_y)
        tick()
    back = generate(chain, x, levels)
    return Inversion(x, levels, _rms(back - z))


def generate(chain: Chain, noise: Tensor, levels: Sequence[float]) -> Tensor:
    """The clean states (B, C, H, W) that the flow makes of x at ``levels[0]``."""
    for moment in ddim(chain, noise, levels, Noise([])):
        last = moment.p_z.mean
    return last


def _up(chain: Chain, x: Tensor, level_x: float, level_y: float) -> Tensor:
    """The state at ``level_y`` from which a step of `ddim` leads to x at ``level_x``."""
    u_x, ratio = x / (1 - level_x), sigma_of_level(level_y) / sigma_of_level(level_x)
    u = u_x
    for _ in range(MAX_ROUNDS):
        before, u = u, ratio * u_x + (1 - ratio) * _mean(chain, u, level_y)
        if (u - before).abs().max() < TOLERANCE * ratio:
            break
    return u * (1 - level_y)


def _state_of_image(chain: Chain, z: Tensor, level: float) -> Tensor:
    """The state at the lowest level whose mean is nearest to z."""
    u = best = z
    least = torch.full((len(z),), torch.inf, device=z.device, dtype=z.dtype)
    for _ in range(IMAGE_ROUNDS):
        left = z - _mean(chain, u, level)
        error = _rms(left)
        best = torch.where(expand(error < least, z), u, best)
        least = least.minimum(error)
        if least.max() < TOLERANCE:
            break
        u = u + left
    return best * (1 - level)


def _mean(chain: Chain, u: Tensor, level: float) -> Tensor:
    """D(u), the mean of p(z|x) for x = a u."""
    levels = torch.full((len(u),), level, device=u.device, dtype=u.dtype)
    return chain.believe((1 - level) * u, levels).mean


def _rms(difference: Tensor) -> Tensor:
    return difference.square().flatten(1).mean(1).sqrt()

"""Noise levels b in (0, 1]: broadcast to images, annealed for sampling, drawn for training."""

from collections.abc import Callable

import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.noise import Noise


def expand(noise_level: Tensor, like: Tensor) -> Tensor:
    """View levels of shape (B,) or () so that they broadcast against ``like``, (B, ...)."""
    return noise_level.reshape(-1, *[1] * (like.ndim - 1))


def anneal(max_noise: float, min_noise: float, num_steps: int) -> list[float]:
    """The levels of an anneal: ``num_steps + 1`` of them, linear from max to min (paper, section 4.2).

    Raises:
        InputError: unless 0 < min_noise <= max_noise <= 1 and num_steps >= 0.
    """
    check_anneal(max_noise, min_noise, num_steps)
    if num_steps == 0:
        return [max_noise]
    slope = (min_noise - max_noise) / num_steps
    return [max_noise + slope * i for i in range(num_steps)] + [min_noise]


def check_anneal(max_noise: float, min_noise: float, num_steps: int) -> None:
    """Raise `InputError` unless 0 < min_noise <= max_noise <= 1 and num_steps >= 0."""
    if not 0 < min_noise <= max_noise <= 1:
        raise InputError(
            f"noise levels must satisfy 0 < min <= max <= 1, got min {min_noise} and max {max_noise}"
        )
    if num_steps < 0:
        raise InputError(f"the number of sampling steps must be at least 0, got {num_steps}")


LevelDraw = Callable[[Noise, torch.device], Tensor]
"""(noise, device) -> one training level for each stream of the noise, (B,) float32 in (0, 1]."""


def uniform(min_noise: float) -> LevelDraw:
    """Training levels U(min_noise, 1) (Algorithm 2, line 3): the default `LevelDraw`.

    It draws one level for each stream of the noise: (B,) float32 on the device.
    """

    def draw(noise: Noise, device: torch.device) -> Tensor:
        u = noise.uniform(torch.empty(len(noise), device=device))
        return min_noise + (1 - min_noise) * u

    return draw

"""Training levels with a log-normal sigma, sigma = sqrt(b) / a being the noise in units of the signal.

Uniform levels, the paper's (`nkca.levels.uniform`), have a median sigma of 1.4 and nothing below 0.1. What
pictures are made of is decided at sigma of about 0.3 (Karras et al. 2022, arXiv 2206.00364, Table 1).
"""

import torch
from torch import Tensor

from nkca.kernels.continuous import levels_of_sigma
from nkca.levels import LevelDraw
from nkca.noise import Noise
from nkca.training.adaptive_levels import Quantile


def log_normal(mean: float, std: float, min_noise: float) -> LevelDraw:
    """ln(sigma) ~ N(mean, std²); levels below ``min_noise`` become that."""

    def draw(noise: Noise, device: torch.device) -> Tensor:
        log_sigma = mean + std * noise.normal(torch.empty(len(noise), device=device))
        return levels_of_sigma(log_sigma.exp()).clamp(min=min_noise)

    return draw


def log_normal_quantile(mean: float, std: float, min_noise: float) -> Quantile:
    """The quantile of the law of `log_normal`."""

    def quantile(share: Tensor) -> Tensor:
        sigma = (mean + std * torch.special.ndtri(share)).exp()
        return levels_of_sigma(sigma).clamp(min=min_noise)

    return quantile


def uniform_quantile(min_noise: float) -> Quantile:
    """The quantile of U(min_noise, 1)."""
    return lambda share: min_noise + (1 - min_noise) * share

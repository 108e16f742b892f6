"""Training levels with a log-normal sigma, sigma = sqrt(b) / a being the noise in units of the signal.

Uniform levels, the paper's (`nkca.levels.uniform`), have a median sigma of 1.4 and nothing below 0.1. What
pictures are made of is decided at sigma of about 0.3 (Karras et al. 2022, arXiv 2206.00364, Table 1).
"""

import torch
from torch import Tensor

from nkca.kernels.continuous import levels_of_sigma
from nkca.levels import LevelDraw
from nkca.noise import Noise


def log_normal(mean: float, std: float, min_noise: float) -> LevelDraw:
    """ln(sigma) ~ N(mean, std²); levels below ``min_noise`` become that."""

    def draw(noise: Noise, device: torch.device) -> Tensor:
        log_sigma = mean + std * noise.normal(torch.empty(len(noise), device=device))
        return levels_of_sigma(log_sigma.exp()).clamp(min=min_noise)

    return draw

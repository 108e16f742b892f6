"""A chain and the conversion between its states and images."""

from dataclasses import dataclass

import torch

from nkca.chain import Chain
from nkca.config.schema import SamplingConfig
from nkca.pixels import Pixels

AS_IN_THE_PAPER = SamplingConfig()


@dataclass(frozen=True)
class Model:
    """A chain with what it takes to talk to it in images.

    Args:
        data_shape: (C, H, W).
        min_noise: the lowest level the denoiser was trained at.
        device: where states live.
        sampling: how it draws samples where nothing else is said.
    """

    chain: Chain
    pixels: Pixels
    data_shape: tuple[int, int, int]
    min_noise: float
    device: torch.device
    sampling: SamplingConfig = AS_IN_THE_PAPER

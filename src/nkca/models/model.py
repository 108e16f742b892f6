"""A chain and the conversion between its states and images."""

from dataclasses import dataclass

import torch

from nkca.chain import Chain
from nkca.pixels import Pixels


@dataclass(frozen=True)
class Model:
    """A chain with what it takes to talk to it in images.

    Args:
        data_shape: (C, H, W).
        min_noise: the lowest level the denoiser was trained at.
        device: where states live.
    """

    chain: Chain
    pixels: Pixels
    data_shape: tuple[int, int, int]
    min_noise: float
    device: torch.device

"""Objectives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nkca import levels
from nkca.chain import Chain
from nkca.noise import Noise, derive_seed


@dataclass(frozen=True)
class Terms:
    """One value for each image of a batch, (B,) float32, in nats summed over pixels."""

    loss: Tensor
    entropy_production: Tensor


def contrastive_adjustment(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
    """The loss of clean states z (B, C, H, W) at levels (B,): Algorithm 2."""
    x = chain.kernel.add_noise(z, noise_level).sample(noise)
    with torch.no_grad():
        _, p_y = chain.step(x, noise_level, noise_level)
        y = p_y.sample(noise)
        forward = p_y.log_prob(y)
    loss = reverse_loss(chain, x, y, noise_level)
    return Terms(loss, forward + loss.detach())


def reverse_loss(chain: Chain, x: Tensor, y: Tensor, noise_level: Tensor) -> Tensor:
    """-log p(x|y) at equal levels, nats summed over pixels: (B,)."""
    _, p_x = chain.step(y, noise_level, noise_level)
    return -p_x.log_prob(x)


@torch.no_grad()
def evaluate(chain: Chain, z: Tensor, min_noise: float, first: int = 0) -> Terms:
    """The loss of clean states z (B, C, H, W), images ``first`` ... of a set, with fixed draws.

    The draws depend on an image's number alone, so losses of different weights can be compared.
    """
    noise = Noise([derive_seed("evaluate", first + row) for row in range(len(z))])
    return contrastive_adjustment(chain, z, levels.draw(noise, min_noise, z.device), noise)

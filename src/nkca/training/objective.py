"""Contrastive adjustment (paper, Algorithm 2), and what an objective is.

For clean images z at levels b: noise z to x, let the chain jump from x to y at the same level, and
minimize -log p(x|y): the chain learns to undo its own jump. At the optimum it is reversible,
p(x) p(y|x) = p(y) p(x|y), so the noised data are its stationary distribution.

Entropy production, E[log p(y|x) - log p(x|y)], measures how far it is from that: where the chain keeps
the noised data distribution it is the Kullback-Leibler divergence between the chain and its time
reversal, at least 0, and 0 only when the chain is reversible.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.levels import LevelDraw
from nkca.noise import Noise, derive_seed


@dataclass(frozen=True)
class Terms:
    """One value for each image of a batch, (B,) float32.

    Args:
        loss: what is minimized, in nats summed over pixels.
        shown: further values to report, by name, in nats per dimension, without a gradient.
    """

    loss: Tensor
    shown: Mapping[str, Tensor] = field(default_factory=dict)


Objective = Callable[[Chain, Tensor, Tensor, Noise], Terms]
"""(chain, z (B, C, H, W), noise_level (B,), noise) -> `Terms`."""


def contrastive_adjustment(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
    """The loss of clean states z (B, C, H, W) at levels (B,): Algorithm 2, the default `Objective`.

    It also reports the loss above its floor (see `Kernel.loss_floor`) and the entropy production.
    """
    b, dimensions = noise_level, z[0].numel()
    x = chain.kernel.add_noise(z, b).sample(noise)
    with torch.no_grad():
        p_y = chain.move(x, b, b, chain.believe(x, b))
        y = p_y.sample(noise)
        forward = p_y.log_prob(y)
    loss = reverse_loss(chain, x, y, b)
    return Terms(loss, shown_of_adjustment(chain, b, dimensions, forward, loss))


def shown_of_adjustment(
    chain: Chain, noise_level: Tensor, dimensions: int, forward: Tensor, loss: Tensor
) -> dict[str, Tensor]:
    """What is shown of log p(y|x), ``forward``, and of the loss -log p(x|y), nats summed over pixels."""
    loss = loss.detach()
    return {
        "loss_above_floor": loss / dimensions - chain.kernel.loss_floor(noise_level, chain.lag),
        "entropy_production": (forward + loss) / dimensions,
    }


def reverse_loss(chain: Chain, x: Tensor, y: Tensor, noise_level: Tensor) -> Tensor:
    """-log p(x|y) at equal levels, nats summed over pixels: (B,)."""
    p_x = chain.move(y, noise_level, noise_level, chain.believe(y, noise_level))
    return -p_x.log_prob(x)


@torch.no_grad()
def evaluate(
    objective: Objective, draw: LevelDraw, chain: Chain, z: Tensor, first: int = 0
) -> Terms:
    """The terms of clean states z (B, C, H, W), images ``first`` ... of a set, with fixed draws.

    The draws depend only on the number of an image, so losses of different weights are comparable.
    """
    noise = Noise([derive_seed("evaluate", first + row) for row in range(len(z))])
    return objective(chain, z, draw(noise, z.device), noise)

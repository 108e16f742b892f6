"""The one idea: state -> denoise -> transition -> state."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.denoisers.contract import Denoiser
from nkca.distributions.contracts import Distribution, Posterior
from nkca.kernels.contract import Kernel
from nkca.noise import Noise


@dataclass(frozen=True)
class Chain:
    """A Markov chain over images: what is denoised by what, and how far each step moves."""

    kernel: Kernel
    denoiser: Denoiser
    lag: float

    def step(self, x: Tensor, level_x: Tensor, level_y: Tensor) -> tuple[Posterior, Distribution]:
        """Return p(z|x) and p(y|x) for states x (B, C, H, W) at ``level_x``, going to ``level_y`` (B,)."""
        p_z = self.denoiser(x, level_x)
        return p_z, self.kernel.transition(x, level_x, level_y, p_z, self.lag)


@dataclass(frozen=True)
class State:
    """A moment of a chain: x at ``noise_level`` after ``step`` transitions, and p(z|x)."""

    step: int
    noise_level: float
    x: Tensor
    p_z: Posterior


def run(chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise) -> Iterator[State]:
    """Run the chain from x, (B, C, H, W) at ``levels[0]``, through all ``levels``.

    Yields ``len(levels)`` states, the first before any transition; one denoiser evaluation each.
    """
    for step, level in enumerate(levels):
        level_x = torch.full((len(x),), level, device=x.device)
        level_y = torch.full((len(x),), levels[min(step + 1, len(levels) - 1)], device=x.device)
        p_z, p_y = chain.step(x, level_x, level_y)
        yield State(step, level, x, p_z)
        if step + 1 < len(levels):
            x = p_y.sample(noise)

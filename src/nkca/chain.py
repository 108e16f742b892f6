"""The one idea: state -> denoise -> transition -> state."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nkca.denoisers.condition import Condition, Conditioned
from nkca.denoisers.contract import Denoiser
from nkca.distributions.contracts import Distribution, Posterior
from nkca.kernels.averaged_noise import averaged_step, first_draw
from nkca.kernels.contract import Kernel, Lag
from nkca.noise import Noise


@dataclass(frozen=True)
class Chain:
    """A Markov chain over images.

    Args:
        kernel: p(x|z) and p(y|x); it decides the state space.
        denoiser: gives p(z|x).
        lag: w, in [0, 1): how much of x a step keeps.
        averages_noise: steps share noise, see `nkca.kernels.averaged_noise`; continuous states only.
        pace: how much of a step each pixel makes, in (0, 1], broadcastable to x; None: whole steps.
    """

    kernel: Kernel
    denoiser: Denoiser
    lag: float
    averages_noise: bool = False
    pace: Tensor | None = None

    @property
    def _lag(self) -> Lag:
        return self.lag if self.pace is None else 1 - self.pace * (1 - self.lag)

    def believe(self, x: Tensor, level_x: Tensor) -> Posterior:
        """p(z|x) for states x (B, C, H, W) at levels (B,): one denoiser evaluation."""
        return self.denoiser(x, level_x)

    def move(self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior) -> Distribution:
        """p(y|x) of a transition from states x (B, C, H, W) at ``level_x`` (B,) to ``level_y`` (B,)."""
        return self.kernel.transition(x, level_x, level_y, p_z, self._lag)

    def step(
        self,
        x: Tensor,
        levels: tuple[Tensor, Tensor],
        p_z: Posterior,
        noise: Noise,
        carried: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Make a transition from states x (B, C, H, W).

        Args:
            levels: of x and of the next state, (B,) each.
            carried: what the step to x returned beside it; None: nothing, at the start of a walk.

        Returns:
            The next state, and what the step after it takes as ``carried``.
        """
        if not self.averages_noise:
            return self.move(x, *levels, p_z).sample(noise), None
        z, fresh = p_z.mean, noise.normal(x)
        if carried is None:
            carried = first_draw(x, levels[0], z, self._lag, noise.normal(x))
        return averaged_step(x, levels, z, self._lag, (carried, fresh)), fresh

    def conditioned(self, *conditions: Condition) -> "Chain":
        """The chain whose every p(z|x) is also conditioned on ``conditions``."""
        return replace(self, denoiser=Conditioned(self.denoiser, conditions))


@dataclass(frozen=True)
class Moment:
    """A chain at one moment: x at ``noise_level`` after ``step`` transitions, and p(z|x)."""

    step: int
    noise_level: float
    x: Tensor
    p_z: Posterior


Sampler = Callable[[Chain, Tensor, Sequence[float], Noise], Iterator[Moment]]
"""(chain, x (B, C, H, W) at ``levels[0]``, levels, noise) -> the moments of the chain."""


def run(chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise) -> Iterator[Moment]:
    """Run the chain from x, (B, C, H, W) at ``levels[0]``, through all ``levels``: the default `Sampler`.

    Yields ``len(levels)`` moments, the first before any transition; one denoiser evaluation each.
    """
    carried = None
    for step, level in enumerate(levels):
        level_x = torch.full((len(x),), level, device=x.device)
        p_z = chain.believe(x, level_x)
        yield Moment(step, level, x, p_z)
        if step + 1 < len(levels):
            level_y = torch.full((len(x),), levels[step + 1], device=x.device)
            x, carried = chain.step(x, (level_x, level_y), p_z, noise, carried)

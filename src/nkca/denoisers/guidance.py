"""Guidance by a weaker model: away from what a less trained network predicts (Karras et al. 2024,
arXiv 2406.02507).

    mean = mean_strong + (g - 1) (mean_strong - mean_weak)

Both networks err in the same places, the weak one more: so the step from it to the strong one leads on to
where the errors are smaller. It takes two evaluations for one. With g other than 1 the chain no longer
keeps the data's law: guidance is for drawing samples.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from nkca.denoisers.contract import Denoiser
from nkca.distributions.contracts import Posterior


@runtime_checkable
class Guidable(Protocol):
    """A posterior that can be moved away from another of its kind."""

    def away_from(self, weak: Posterior, amount: float) -> Posterior:
        """p(z|x) that differs from ``weak`` by ``1 + amount`` times as much; 0 changes nothing."""
        ...


@dataclass(frozen=True)
class Guided:
    """A denoiser guided by a weaker one.

    Args:
        strength: g; 1 is the denoiser itself, below 1 is between the two.
    """

    denoiser: Denoiser
    weak: Denoiser
    strength: float

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return the guided p(z|x) for states x (B, C, H, W) at levels (B,).

        Raises:
            TypeError: unless the posterior is `Guidable`.
        """
        p_z, weak = self.denoiser(x, noise_level), self.weak(x, noise_level)
        if not isinstance(p_z, Guidable):
            raise TypeError(f"a {type(p_z).__name__} cannot be guided: it has no away_from")
        return p_z.away_from(weak, self.strength - 1)

"""Conditions: what is known of z besides x, such as the pixels that inpainting holds.

A condition maps a posterior to another posterior. It is applied between the denoiser and the kernel,
neither of which depends on it; several conditions are applied one after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from nkca.denoisers.contract import Denoiser
from nkca.distributions.contracts import Posterior

Condition = Callable[[Posterior], Posterior]


def hold(mask: Tensor, z: Tensor) -> Condition:
    """The condition that pixels equal those of z where ``mask`` is True.

    Args:
        mask: bool, broadcastable to (B, C, H, W).
        z: a clean state, (B, C, H, W).
    """
    return lambda p_z: p_z.hold(mask, z)


@dataclass(frozen=True)
class Conditioned:
    """A denoiser whose p(z|x) is also conditioned on ``conditions``, the first one first."""

    denoiser: Denoiser
    conditions: tuple[Condition, ...]

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return the conditioned p(z|x) for states x (B, C, H, W) at levels (B,)."""
        p_z = self.denoiser(x, noise_level)
        for condition in self.conditions:
            p_z = condition(p_z)
        return p_z

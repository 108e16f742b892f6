"""The contract of denoisers: a function from a state and its noise level to p(z|x)."""

from typing import Protocol

from torch import Tensor

from nkca.distributions.contracts import Posterior


class Denoiser(Protocol):
    """A function from noisy states to p(z|x)."""

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return p(z|x) for states x (B, C, H, W) at levels (B,) in (0, 1]."""
        ...

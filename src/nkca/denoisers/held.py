"""A denoiser that knows some pixels (inpainting)."""

from dataclasses import dataclass

from torch import Tensor

from nkca.denoisers.contract import Denoiser
from nkca.distributions.contracts import Posterior


@dataclass(frozen=True)
class Held:
    """A denoiser that knows some pixels: its p(z|x) is a point mass where ``mask`` is True."""

    denoiser: Denoiser
    mask: Tensor
    z: Tensor

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return p(z|x) with the held pixels of z."""
        return self.denoiser(x, noise_level).hold(self.mask, self.z)

"""The distributions that chains are made of.

A *posterior* p(z|x) says which clean images a noisy state may come from. Besides `mode` and `hold`,
a kernel asks one thing of it: to be pushed through the transition, which gives p(y|x) in closed form.

    posterior     pushed by the continuous kernel     by the categorical kernel
    Normal        affine -> Normal
    Categorical                                       mix -> Scramble
    ImageList     affine -> Mixture                   mix -> Mixture
"""

from typing import Protocol

from torch import Tensor

from nkca.noise import Noise


class Distribution(Protocol):
    """A distribution over states, (B, C, H, W)."""

    def sample(self, noise: Noise) -> Tensor:
        """Draw one state for each of the B streams of ``noise``."""
        ...

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density (or log-probability) of ``value`` in nats, summed over pixels: (B,)."""
        ...


class Factored(Distribution, Protocol):
    """A distribution whose pixels are independent."""

    def log_prob_per_pixel(self, value: Tensor) -> Tensor:
        """Log-density (or log-probability) of each pixel of ``value`` in nats, (B, C, H, W)."""
        ...


class Posterior(Protocol):
    """p(z|x), as a denoiser returns it: `Normal` | `Categorical` | `ImageList`, or your own."""

    def mode(self) -> Tensor:
        """The most likely clean state, (B, C, H, W)."""
        ...

    def hold(self, mask: Tensor, image: Tensor) -> "Posterior":
        """Put a point mass at the clean state ``image`` where the bool ``mask`` is True."""
        ...

    def affine(self, shift: Tensor, scale: Tensor, variance: Tensor) -> Distribution:
        """The distribution of ``shift + scale z + N(0, variance)``: real-valued z only."""
        ...

    def mix(self, scrambled: Tensor, keep: Tensor, x: Tensor, num_classes: int) -> Distribution:
        """Scrambled with probability ``scrambled``, else x with ``keep``, else z: levels only."""
        ...

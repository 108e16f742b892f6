"""The contracts of distributions: p(y|x) has samples and densities, p(z|x) a mode, a mean and held pixels.

A *posterior* p(z|x) says which clean images a noisy state may come from. A kernel pushes the posteriors
that it knows through its transition, which gives p(y|x) in closed form. A posterior that no kernel knows
defines that push itself: it is `Pushable`.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

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

    @property
    def mean(self) -> Tensor:
        """E[z|x], float (B, C, H, W): the least-squares estimate of z."""
        ...

    def hold(self, mask: Tensor, image: Tensor) -> "Posterior":
        """Put a point mass at the clean state ``image`` where ``mask`` is True.

        Both are (B, C, H, W) or broadcastable to it; ``mask`` is bool.
        """
        ...


@runtime_checkable
class Pushable(Protocol):
    """A posterior that any kernel can push through its transition."""

    def push(self, given: Callable[[Tensor], Distribution]) -> Distribution:
        """The distribution of y, where z (B, C, H, W) is drawn from p(z|x) and y from ``given(z)``."""
        ...

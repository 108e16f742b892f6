"""The contracts of distributions: p(y|x) is sampled and rated, p(z|x) has a mode, a mean and holds pixels.

A *posterior* p(z|x) says which clean images a noisy state may come from. How it is pushed through a
transition, which gives p(y|x) in closed form, is the kernel's to know. One that is of no kernel's kind
says itself how it is pushed: it is `Pushable`.
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
        """Put a point mass at the clean state ``image`` where the bool ``mask`` is True."""
        ...


@runtime_checkable
class Pushable(Protocol):
    """What any kernel can push through its transition: a posterior with this method."""

    def push(self, given: Callable[[Tensor], Distribution]) -> Distribution:
        """The distribution of y, where z is drawn from p(z|x) and y from ``given(z)``."""
        ...

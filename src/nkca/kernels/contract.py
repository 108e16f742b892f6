"""The contract of noise kernels: p(x|z), p(y|x, z), and p(y|x) for a posterior p(z|x)."""

from typing import Protocol, TypeAlias

from torch import Tensor

from nkca.distributions.contracts import Distribution, Factored, Posterior

Lag: TypeAlias = float | Tensor
"""w in [0, 1]: how much of x a step keeps; a tensor (broadcastable to x) gives each pixel one of its own.

Given z the pixels of y are independent, so each may have its own w: the law stays."""


class Kernel(Protocol):
    """A transition p(y|x) that keeps the noised data distribution."""

    @property
    def default_lag(self) -> float:
        """The paper's lag w for this state space."""
        ...

    def add_noise(self, z: Tensor, noise_level: Tensor) -> Factored:
        """p(x|z): clean states (B, C, H, W) noised to levels (B,)."""
        ...

    def transition_given(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, z: Tensor, lag: Lag
    ) -> Factored:
        """p(y|x, z), as `transition` for a posterior that is certain of z (B, C, H, W)."""
        ...

    def transition(
        self, x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: Lag
    ) -> Distribution:
        """p(y|x): from states x at ``level_x`` (B,) to ``level_y`` (B,), with lag in [0, 1].

        Raises:
            TypeError: for a posterior over another state space that is not `Pushable`.
        """
        ...

    def prior(self, shape: tuple[int, ...]) -> Distribution:
        """The distribution of states of ``shape`` (B, C, H, W) at noise level 1, on the CPU."""
        ...

    def loss_floor(self, noise_level: Tensor, lag: float) -> Tensor:
        """The mean of -log p(x|y) that is left even if y determines z: nats per dimension, (B,)."""
        ...

r"""Independent normals of which linear measurements are known: p(z | x, A z = y).

With p(z|x) = N(mu, S), S diagonal, and y = A z + N(0, tau²), the conditional law is normal:

    K    = S Aᵀ (A S Aᵀ + tau² I)⁻¹
    mean = mu + K (y - A mu)
    cov  = S - K A S

Its pixels are not independent: a block whose mean is known can only exchange brightness. A draw needs no
factor of the covariance (Matheron's rule): with z0 from N(mu, S) and e from N(0, tau²),

    z = z0 + K (y + e - A z0)

has that law; and A z = y exactly where tau = 0. Densities of the next state follow from Bayes' rule:

    p(y' | x, y) = p(y' | x) p(y | x, y') / p(y | x)

where z given x and y' has independent pixels again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nkca.distributions.contracts import Distribution
from nkca.distributions.measurement import Measurement
from nkca.distributions.normal import Normal
from nkca.noise import Noise


@dataclass(frozen=True)
class LinearGaussian:
    """Independent normals (B, C, H, W), given a measurement of them."""

    prior: Normal
    measurement: Measurement

    def mode(self) -> Tensor:
        """The mean."""
        return self.mean

    @cached_property
    def mean(self) -> Tensor:
        """The conditional mean, (B, C, H, W)."""
        return self._fit(self.prior.mean, self.measurement.value(self.prior.mean))

    def hold(self, mask: Tensor, image: Tensor) -> "LinearGaussian":
        """A point mass at ``image`` where ``mask`` is True; other pixels take all of the measurement."""
        return LinearGaussian(self.prior.hold(mask, image), self.measurement)

    def measured(self, measurement: Measurement) -> "LinearGaussian":
        """Both measurements, whatever their order."""
        return LinearGaussian(self.prior, self.measurement.and_also(measurement))

    def sample(self, noise: Noise) -> Tensor:
        """Draw z, (B, C, H, W)."""
        z = self.prior.sample(noise)
        y, std = self.measurement.value(z), self.measurement.noise_std(z)
        return self._fit(z, y + std * noise.normal(y) if std.any() else y)

    def push(self, given: Callable[[Tensor], Distribution]) -> "PushedLinearGaussian":
        """The distribution of the next state, where z is drawn from this, it from ``given(z)``."""
        return PushedLinearGaussian(self, given)

    def _fit(self, z: Tensor, y: Tensor) -> Tensor:
        """z + K (y - A z)."""
        variance = self.prior.std.square().expand_as(z)
        u = self.measurement.solve(variance, y - self.measurement.forward(z))
        return z + variance * self.measurement.adjoint(u)


@dataclass(frozen=True)
class PushedLinearGaussian:
    """z is drawn from ``p_z``, then the state from ``given(z)``, a `Normal` whose mean is affine in z."""

    p_z: LinearGaussian
    given: Callable[[Tensor], Distribution]

    def sample(self, noise: Noise) -> Tensor:
        """Draw (B, C, H, W)."""
        return self.given(self.p_z.sample(noise)).sample(noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, (B,); raises `InputError` for measurements of very many rows."""
        prior = self.p_z.prior
        mean, variance = prior.mean, prior.std.square().expand_as(prior.mean)
        at_zero, at_one = self.given(torch.zeros_like(mean)), self.given(torch.ones_like(mean))
        assert isinstance(at_zero, Normal)
        assert isinstance(at_one, Normal)
        shift, scale = at_zero.mean, at_one.mean - at_zero.mean
        added = at_zero.std.square()
        total = added + scale.square() * variance
        unmeasured = Normal(shift + scale * mean, total.sqrt())
        z = mean + variance * scale / total * (value - unmeasured.mean)
        measurement = self.p_z.measurement
        gained = measurement.log_density(z, variance * added / total)
        return unmeasured.log_prob(value) + gained - measurement.log_density(mean, variance)

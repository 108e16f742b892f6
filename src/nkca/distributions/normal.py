"""Independent normals: the noise of the continuous kernel, and p(z|x) of continuous denoisers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.distributions.contracts import Posterior
from nkca.noise import Noise

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Normal:
    """Independent normals: ``mean`` (B, C, H, W), ``std`` broadcastable against it, >= 0."""

    mean: Tensor
    std: Tensor

    def sample(self, noise: Noise) -> Tensor:
        """Draw (B, C, H, W)."""
        return self.mean + self.std * noise.normal(self.mean)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, summed over pixels: (B,)."""
        return self.log_prob_per_pixel(value).flatten(1).sum(1)

    def log_prob_per_pixel(self, value: Tensor) -> Tensor:
        """Log-density of each pixel in nats, (B, C, H, W)."""
        return -0.5 * ((value - self.mean) / self.std).square() - self.std.log() - LOG_SQRT_2PI

    def mode(self) -> Tensor:
        """The mean."""
        return self.mean

    def away_from(self, weak: Posterior, amount: float) -> "Normal":
        """The mean moved on by ``amount`` times its distance from that of ``weak``; the same std."""
        return Normal(self.mean + amount * (self.mean - weak.mean), self.std)

    def hold(self, mask: Tensor, image: Tensor) -> "Normal":
        """A point mass at ``image`` where ``mask`` is True."""
        std = self.std.expand_as(self.mean).masked_fill(mask, 0.0)
        return Normal(torch.where(mask, image, self.mean), std)

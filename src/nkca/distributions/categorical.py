"""Independent levels, and levels of which some are scrambled."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.distributions.contracts import Factored, Posterior
from nkca.noise import Noise


@dataclass(frozen=True)
class Categorical:
    """Independent levels: normalised ``log_probs`` (B, C, H, W, K); -inf is allowed."""

    log_probs: Tensor

    def sample(self, noise: Noise) -> Tensor:
        """Draw int64 (B, C, H, W) by inverting the cumulative sum: one uniform for each pixel.

        A level of probability 0 is never drawn, whatever the rounding.
        """
        cumulative = self.log_probs.exp().cumsum(-1)
        u = noise.uniform(cumulative[..., 0]) * cumulative[..., -1]
        return (cumulative <= u.unsqueeze(-1)).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, summed over pixels: (B,)."""
        return self.log_prob_per_pixel(value).flatten(1).sum(1)

    def log_prob_per_pixel(self, value: Tensor) -> Tensor:
        """Log-probability of each pixel in nats, (B, C, H, W)."""
        return self.log_probs.gather(-1, value.unsqueeze(-1)).squeeze(-1)

    def mode(self) -> Tensor:
        """The most likely level of each pixel, int64 (B, C, H, W)."""
        return self.log_probs.argmax(-1)

    def away_from(self, weak: Posterior, amount: float) -> "Categorical":
        """Proportional to p (p / weak)^amount; where p is 0 it stays 0, elsewhere weak is positive.

        Raises:
            TypeError: unless ``weak`` is a `Categorical`.
        """
        if not isinstance(weak, Categorical):
            raise TypeError(f"levels cannot be guided by a {type(weak).__name__}")
        moved = self.log_probs + amount * (self.log_probs - weak.log_probs)
        moved = moved.masked_fill(self.log_probs.isneginf(), -math.inf)
        return Categorical(moved.log_softmax(-1))

    def tempered(self, temperature: float) -> "Categorical":
        """Proportional to p to the power 1 / temperature."""
        return Categorical((self.log_probs / temperature).log_softmax(-1))

    def hold(self, mask: Tensor, image: Tensor) -> "Categorical":
        """A point mass at ``image`` where ``mask`` is True."""
        point = torch.full_like(self.log_probs, -math.inf).scatter_(-1, image.unsqueeze(-1), 0.0)
        return Categorical(torch.where(mask.unsqueeze(-1), point, self.log_probs))

    @property
    def mean(self) -> Tensor:
        """The expected level of each pixel, float (B, C, H, W) in 0..K-1."""
        probabilities = self.log_probs.exp()
        levels = torch.arange(
            probabilities.shape[-1], dtype=probabilities.dtype, device=probabilities.device
        )
        return (probabilities * levels).sum(-1)


@dataclass(frozen=True)
class PointLevels:
    """A point mass at the levels ``z``, int64 (B, C, H, W)."""

    z: Tensor

    def sample(self, noise: Noise) -> Tensor:
        """Return z."""
        return self.z

    def log_prob(self, value: Tensor) -> Tensor:
        """0 where all pixels agree, else -inf: (B,)."""
        return self.log_prob_per_pixel(value).flatten(1).sum(1)

    def log_prob_per_pixel(self, value: Tensor) -> Tensor:
        """0 where ``value`` is z, else -inf: (B, C, H, W)."""
        return torch.zeros(value.shape, device=value.device).masked_fill(value != self.z, -math.inf)


@dataclass(frozen=True)
class Scramble:
    """Each pixel is scrambled (level K) with probability e, else keeps x with w, else is drawn from p(z|x).

    ``scrambled`` e and ``keep`` w: float in [0, 1], broadcastable; ``x``: int64 (B, C, H, W) in 0..K.
    Probabilities are computed in log space and only for given values: e = 0 and w = 0 are exact, no
    (B, C, H, W, K + 1) tensor is made, and gradients to p(z|x) are finite wherever it is positive.
    """

    scrambled: Tensor
    keep: Tensor
    x: Tensor
    p_z: Factored
    num_classes: int

    def sample(self, noise: Noise) -> Tensor:
        """Draw int64 (B, C, H, W) in 0..K."""
        like = self.x.to(self.scrambled.dtype)
        is_scrambled = noise.uniform(like) < self.scrambled
        is_kept = noise.uniform(like) < self.keep
        z = self.p_z.sample(noise)
        return torch.where(is_kept, self.x, z).masked_fill(is_scrambled, self.num_classes)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, summed over pixels: (B,)."""
        return self.log_prob_per_pixel(value).flatten(1).sum(1)

    def log_prob_per_pixel(self, value: Tensor) -> Tensor:
        """Log-probability of each pixel in nats, (B, C, H, W)."""
        kept = self.keep.log().expand(value.shape).masked_fill(value != self.x, -math.inf)
        redrawn = torch.log1p(-self.keep) + self.p_z.log_prob_per_pixel(
            value.clamp(max=self.num_classes - 1)
        )
        is_scrambled = value == self.num_classes
        unscrambled = torch.where(is_scrambled, kept, torch.logaddexp(kept, redrawn))
        unscrambled = torch.log1p(-self.scrambled) + unscrambled
        scrambled = torch.logaddexp(self.scrambled.log(), unscrambled.detach())
        return torch.where(is_scrambled, scrambled, unscrambled)

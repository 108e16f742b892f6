"""The distributions that chains are made of.

A *posterior* p(z|x) says which clean images a noisy state may come from. Besides `mode` and `hold`,
a kernel asks one thing of it: to be pushed through the transition, which gives p(y|x) in closed form.

    posterior     pushed by the continuous kernel     by the categorical kernel
    Normal        affine -> Normal
    Categorical                                       mix -> Scramble
    ImageList     affine -> Mixture                   mix -> Mixture
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nkca.noise import Noise

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


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

    def hold(self, mask: Tensor, image: Tensor) -> "Normal":
        """A point mass at ``image`` where ``mask`` is True."""
        std = self.std.expand_as(self.mean).masked_fill(mask, 0.0)
        return Normal(torch.where(mask, image, self.mean), std)

    def affine(self, shift: Tensor, scale: Tensor, variance: Tensor) -> "Normal":
        """The distribution of ``shift + scale z + N(0, variance)``."""
        std = (variance + scale.square() * self.std.square()).sqrt()
        return Normal(shift + scale * self.mean, std)

    def mix(self, scrambled: Tensor, keep: Tensor, x: Tensor, num_classes: int) -> "Scramble":
        """Not defined: a normal is not over levels."""
        raise TypeError("the categorical kernel needs a categorical posterior, not a Normal")


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

    def hold(self, mask: Tensor, image: Tensor) -> "Categorical":
        """A point mass at ``image`` where ``mask`` is True."""
        point = torch.full_like(self.log_probs, -math.inf).scatter_(-1, image.unsqueeze(-1), 0.0)
        return Categorical(torch.where(mask.unsqueeze(-1), point, self.log_probs))

    def affine(self, shift: Tensor, scale: Tensor, variance: Tensor) -> Normal:
        """Not defined: levels are not real numbers."""
        raise TypeError("the continuous kernel needs a real-valued posterior, not a Categorical")

    def mix(self, scrambled: Tensor, keep: Tensor, x: Tensor, num_classes: int) -> "Scramble":
        """Scrambled with probability ``scrambled``, else x with ``keep``, else z."""
        return Scramble(scrambled, keep, x, self, num_classes)


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
    All in log space and only at the values asked for, so e = 0 and w = 0 are exact, no
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
        of_level = torch.where(is_scrambled, kept, torch.logaddexp(kept, redrawn))
        of_level = torch.log1p(-self.scrambled) + of_level
        lost = torch.logaddexp(self.scrambled.log(), of_level.detach())
        return torch.where(is_scrambled, lost, of_level)


@dataclass(frozen=True)
class ImageList:
    """Exactly one of n images: ``log_weights`` (B, n) normalised, ``images`` (B or 1, n, C, H, W)."""

    log_weights: Tensor
    images: Tensor

    def mode(self) -> Tensor:
        """The most probable image, (B, C, H, W)."""
        return self.pick(self.log_weights.argmax(1))

    def pick(self, index: Tensor) -> Tensor:
        """Image ``index[b]`` of each row's list: int64 (B,) -> (B, C, H, W)."""
        rows = torch.arange(len(index), device=index.device)
        return self.images.expand(len(index), *self.images.shape[1:])[rows, index]

    def hold(self, mask: Tensor, image: Tensor) -> "ImageList":
        """Every image of the list shows ``image`` where ``mask`` is True; the weights stay."""
        held = mask.expand(image.shape).unsqueeze(1)
        return ImageList(self.log_weights, torch.where(held, image.unsqueeze(1), self.images))

    def affine(self, shift: Tensor, scale: Tensor, variance: Tensor) -> "Mixture":
        """The distribution of ``shift + scale z + N(0, variance)``."""
        return Mixture(self, lambda z: Normal(shift + scale * z, variance.sqrt()))

    def mix(self, scrambled: Tensor, keep: Tensor, x: Tensor, num_classes: int) -> "Mixture":
        """Scrambled with probability ``scrambled``, else x with ``keep``, else z."""
        return Mixture(self, lambda z: Scramble(scrambled, keep, x, PointLevels(z), num_classes))


@dataclass(frozen=True)
class Mixture:
    """z is drawn from ``p_z``, then the state from ``push(z)``: pixels are dependent."""

    p_z: ImageList
    push: Callable[[Tensor], Distribution]

    def sample(self, noise: Noise) -> Tensor:
        """Draw (B, C, H, W)."""
        chosen = Categorical(self.p_z.log_weights.unsqueeze(1)).sample(noise).squeeze(1)
        return self.push(self.p_z.pick(chosen)).sample(noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density (or log-probability) in nats: (B,)."""
        rows = [
            log_weight + self.push(images).log_prob(value)
            for log_weight, images in zip(
                self.p_z.log_weights.unbind(1), self.p_z.images.unbind(1), strict=True
            )
        ]
        return torch.stack(rows).logsumexp(0)

"""A distribution over a list of n images, and the mixture that a kernel makes of it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.distributions.categorical import Categorical
from nkca.distributions.contracts import Distribution
from nkca.distributions.measurement import Measurement
from nkca.noise import Noise

LEAST_NOISE = (
    1e-4  # the standard deviation of a measurement that has none: images must agree so far
)


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
        """Replace the pixels of every image by ``image`` where ``mask`` is True; keep the weights."""
        held = mask.expand(image.shape).unsqueeze(1)
        return ImageList(self.log_weights, torch.where(held, image.unsqueeze(1), self.images))

    def measured(self, measurement: Measurement) -> "ImageList":
        """The images that agree with the measurement, or the nearest; weighted by their likelihood."""
        rows = []
        for image in self.images.unbind(1):
            z = image.expand(len(self.log_weights), *image.shape[1:])
            std = measurement.noise_std(z).clamp(min=LEAST_NOISE)
            error = (measurement.forward(z) - measurement.value(z)) / std
            rows.append(-0.5 * error.square().sum(1))
        likelihood = torch.stack(rows, 1).to(self.log_weights)
        return ImageList((self.log_weights + likelihood).log_softmax(1), self.images)

    @property
    def mean(self) -> Tensor:
        """The weighted mean of the images, float (B, C, H, W)."""
        weights = self.log_weights.exp()
        images = self.images.to(weights.dtype).expand(len(weights), *self.images.shape[1:])
        return torch.einsum("bn,bn...->b...", weights, images)

    def push(self, given: Callable[[Tensor], Distribution]) -> "Mixture":
        """The distribution of y, where z is one of the images and y is drawn from ``given(z)``."""
        return Mixture(self, given)


@dataclass(frozen=True)
class Mixture:
    """z is drawn from ``p_z``, then the state from ``given(z)``; pixels are not independent."""

    p_z: ImageList
    given: Callable[[Tensor], Distribution]

    def sample(self, noise: Noise) -> Tensor:
        """Draw (B, C, H, W)."""
        chosen = Categorical(self.p_z.log_weights.unsqueeze(1)).sample(noise).squeeze(1)
        return self.given(self.p_z.pick(chosen)).sample(noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density (or log-probability) in nats: (B,)."""
        rows = [
            log_weight + self.given(images).log_prob(value)
            for log_weight, images in zip(
                self.p_z.log_weights.unbind(1), self.p_z.images.unbind(1), strict=True
            )
        ]
        return torch.stack(rows).logsumexp(0)

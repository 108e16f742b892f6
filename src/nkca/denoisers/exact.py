"""Exact denoisers, without training: for tests, and for chains over a few images.

With one of these, a kernel keeps the noised data distribution exactly at every level.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.distributions.categorical import Categorical
from nkca.distributions.image_list import ImageList
from nkca.distributions.normal import Normal
from nkca.kernels.continuous import signal
from nkca.kernels.contract import Kernel
from nkca.levels import expand

IMPOSSIBLE = (
    -1e4
)  # log-probability for a pixel of probability 0: its exp is 0, and sums stay finite


@dataclass(frozen=True)
class GaussianDenoiser:
    """Pixels that are independently N(mean, std²), real-valued.

    With x = a z + N(0, b), p(z|x) is normal with variance v = 1 / (1/std² + a²/b) and mean
    v (mean/std² + a x/b).
    """

    mean: Tensor
    std: Tensor

    def __call__(self, x: Tensor, noise_level: Tensor) -> Normal:
        """Return p(z|x) for x (B, C, H, W) at levels (B,)."""
        b = expand(noise_level, x)
        a, prior = signal(b), self.std.square()
        total = a.square() * prior + b
        return Normal((b * self.mean + a * prior * x) / total, (prior * b / total).sqrt())


@dataclass(frozen=True)
class PixelPriorDenoiser:
    """Pixels that are independently level k with probability exp(log_probs[..., k]).

    Args:
        log_probs: normalised, (C, H, W, K).
    """

    log_probs: Tensor

    def __call__(self, x: Tensor, noise_level: Tensor) -> Categorical:
        """Return p(z|x) for x int64 (B, C, H, W): z is x, or the prior where x is scrambled."""
        num_classes = self.log_probs.shape[-1]
        prior = Categorical(self.log_probs.expand(*x.shape, num_classes))
        return prior.hold(x < num_classes, x.clamp(max=num_classes - 1))


@dataclass(frozen=True)
class ImageListDenoiser:
    """The data are exactly these n images, equally often, in either state space.

    Args:
        kernel: the kernel that noised the images.
        images: clean states, (n, C, H, W).
    """

    kernel: Kernel
    images: Tensor

    def __call__(self, x: Tensor, noise_level: Tensor) -> ImageList:
        """Return p(z|x) by Bayes' rule: weights proportional to p(x|z) over the list.

        If every image has probability 0, as a categorical state with held pixels may cause, the images
        that differ from x in the fewest pixels share the weight.
        """
        rows = []
        for image in self.images:
            z = image.expand(len(x), *image.shape)
            per_pixel = self.kernel.add_noise(z, noise_level).log_prob_per_pixel(x)
            rows.append(per_pixel.masked_fill(per_pixel.isneginf(), IMPOSSIBLE).flatten(1).sum(1))
        return ImageList(torch.stack(rows, 1).log_softmax(1), self.images.unsqueeze(0))

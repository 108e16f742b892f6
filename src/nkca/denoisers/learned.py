"""Networks that give p(z|x) for a state x at noise level b (docs/method.md, The denoiser).

All share one trunk: an input layer of their own, the U-Net conditioned on the level, a head.

`ContinuousDenoiser`, the paper's: the head's even outputs are the mean of z, odd ones (softplus) its
standard deviation.

`PreconditionedDenoiser`: the network corrects the best linear denoiser instead. For data of variance
sd² the linear least-squares estimate of z from x = a z + N(0, b) is [a sd² / (a² sd² + b)] x, and its
error has standard deviation c_out = sqrt(b) sd / sqrt(a² sd² + b). With F, r the head's outputs:

    mean of z = [a sd² / (a² sd² + b)] x + c_out F,     std of z = c_out softplus(r + const)

where const makes the factor start near 0.5; the network sees x / sqrt(a² sd² + b), of unit variance,
and embeds ln(sigma), sigma = sqrt(b)/(1 - b), which spreads the small levels (after Karras et al.
2022, arXiv 2206.00364, adapted to this noise). At b near 1, sigma is bounded: a >= 1e-3 inside it.

Both may see images of means of s x s pixels (`nkca.training.coarse_to_fine`), whose sigma is s times
smaller: they are then told the level of the whole image, at which a picture is equally uncertain.

`CategoricalDenoiser`: the input is the embedding of each level times that of its channel, summed over
channels; the outputs are C K logits. With carry-over, pixels of x that are not scrambled are certain:
that is exact, as noise scrambles pixels and changes no others. What is left to be predicted depends on
which pixels are scrambled, not on the level that scrambled them, so the network is then told their share
instead of the level.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nkca.distributions.categorical import Categorical
from nkca.distributions.normal import Normal
from nkca.kernels.continuous import log_sigma, pooled_levels, signal
from nkca.levels import expand
from nkca.networks.layers import Block, LevelEmbedding
from nkca.networks.unet import UNet

PAPER_LEVEL_SCALE = 4000.0  # t = 4000 b
LOG_SIGMA_SCALE = 250.0  # t = 250 ln(sigma): the same span of t over the levels in use


@dataclass(frozen=True)
class NetworkSize:
    """How large the U-Net of a denoiser is.

    Args:
        patch_size: each square of so many pixels is one position of the U-Net.
        conditions: numbers that it is told of each image beside its level, 0 where nothing is said.
    """

    hidden_size: int
    dim_mults: tuple[int, ...]
    patch_size: int = 1
    conditions: int = 0

    def input_layer(self, channels: int) -> nn.Conv2d:
        """Images (B, channels, H, W) -> the U-Net's features (B, hidden_size, H / patch, W / patch)."""
        return nn.Conv2d(channels, self.hidden_size, self.patch_size, stride=self.patch_size)


class Trunk(nn.Module):
    """Features (B, h, H / patch, W / patch), t (B,), perhaps conditions (B, P) -> (B, outputs, H, W)."""

    def __init__(self, size: NetworkSize, outputs: int) -> None:
        super().__init__()
        self.patch_size, hidden_size = size.patch_size, size.hidden_size
        self.level_embedding = LevelEmbedding(hidden_size)
        self.condition = (
            nn.Linear(size.conditions, hidden_size, bias=False) if size.conditions else None
        )
        self.unet = UNet(hidden_size, size.dim_mults)
        self.head = Block(hidden_size, hidden_size)
        self.output = nn.Conv2d(hidden_size, outputs * size.patch_size**2, 1)

    def forward(self, features: Tensor, t: Tensor, conditions: Tensor | None = None) -> Tensor:
        embedding = self.level_embedding(t)
        if self.condition is not None and conditions is not None:
            embedding = embedding + self.condition(conditions)[:, :, None, None]
        out: Tensor = self.output(self.head(self.unet(features, embedding)))
        return out if self.patch_size == 1 else functional.pixel_shuffle(out, self.patch_size)


class ContinuousDenoiser(nn.Module):
    """The paper's parametrisation: x float32 (B, C, H, W), levels (B,) in (0, 1] -> Normal.

    Attributes:
        pooling: side of the squares of pixels whose means x consists of, see `see_pooled`.
    """

    def __init__(self, channels: int, size: NetworkSize) -> None:
        super().__init__()
        self.pooling = 1
        self.input = size.input_layer(channels)
        self.trunk = Trunk(size, 2 * channels)

    def forward(self, x: Tensor, noise_level: Tensor, conditions: Tensor | None = None) -> Normal:
        told = pooled_levels(noise_level, 1 / self.pooling)
        out = self.trunk(self.input(x), PAPER_LEVEL_SCALE * told, conditions)
        out = out.to(noise_level.dtype)
        return Normal(out[:, 0::2], functional.softplus(out[:, 1::2]))


class PreconditionedDenoiser(nn.Module):
    """A correction to the linear denoiser: x float32 (B, C, H, W), levels (B,) in (0, 1] -> Normal.

    Args:
        data_std: the standard deviation of the data's pixels, in units of [-1, 1].

    Attributes:
        pooling: side of the squares of pixels whose means x consists of, see `see_pooled`.
    """

    def __init__(self, channels: int, size: NetworkSize, data_std: float) -> None:
        super().__init__()
        self.pooling = 1
        self.input = size.input_layer(channels)
        self.trunk = Trunk(size, 2 * channels)
        self.data_std = data_std

    def forward(self, x: Tensor, noise_level: Tensor, conditions: Tensor | None = None) -> Normal:
        b = expand(noise_level, x)
        a, variance = signal(b), self.data_std**2
        total = a.square() * variance + b
        c_out = self.data_std * (b / total).sqrt()
        t = LOG_SIGMA_SCALE * log_sigma(pooled_levels(noise_level, 1 / self.pooling))
        out = self.trunk(self.input(x / total.sqrt()), t, conditions).to(noise_level.dtype)
        factor = functional.softplus(out[:, 1::2] + math.log(math.expm1(0.5)))
        return Normal(a * variance / total * x + c_out * out[:, 0::2], c_out * factor)


def see_pooled(network: nn.Module, pooling: int) -> None:
    """Tell the denoisers in ``network`` that their images are the means of pooling x pooling pixels."""
    for module in network.modules():
        if isinstance(module, ContinuousDenoiser | PreconditionedDenoiser):
            module.pooling = pooling


def _embedding(count: int, width: int) -> nn.Embedding:
    """With arbitrary weights: to draw them is slow on the meta device (PyTorch imports a compiler)."""
    return nn.Embedding(count, width, _weight=torch.empty(count, width))


class CategoricalDenoiser(nn.Module):
    """x int64 (B, C, H, W) in 0..K, levels (B,) in (0, 1] -> Categorical over 0..K-1.

    Args:
        carry_over: pixels of x that are not scrambled are certain, and the levels are ignored.
    """

    def __init__(
        self, channels: int, size: NetworkSize, num_classes: int, carry_over: bool = False
    ) -> None:
        super().__init__()
        hidden_size = size.hidden_size
        self.class_embedding = _embedding(num_classes + 1, hidden_size)
        self.channel_embedding = _embedding(channels, hidden_size)
        self.patches = None if size.patch_size == 1 else size.input_layer(hidden_size)
        self.trunk = Trunk(size, channels * num_classes)
        self.channels, self.num_classes, self.carry_over = channels, num_classes, carry_over

    def forward(self, x: Tensor, noise_level: Tensor) -> Categorical:
        visible = x < self.num_classes
        share = 1 - visible.flatten(1).to(noise_level.dtype).mean(1)
        told = share if self.carry_over else noise_level
        out = self.trunk(self._embed(x), PAPER_LEVEL_SCALE * told).to(noise_level.dtype)
        logits = out.unflatten(1, (self.channels, self.num_classes)).movedim(2, -1)
        p_z = Categorical(logits.log_softmax(-1))
        return p_z.hold(visible, x.clamp(max=self.num_classes - 1)) if self.carry_over else p_z

    def _embed(self, x: Tensor) -> Tensor:
        """Sum over channels of class times channel embedding: one table of C (K + 1) rows."""
        batch, channels, height, width = x.shape
        table = self.channel_embedding.weight[:, None] * self.class_embedding.weight
        offset = torch.arange(channels, device=x.device).view(-1, 1, 1) * (self.num_classes + 1)
        rows = (x + offset).movedim(1, -1).reshape(-1, channels)
        features = functional.embedding_bag(rows, table.flatten(0, 1), mode="sum")
        features = features.view(batch, height, width, -1).movedim(-1, 1).contiguous()
        return features if self.patches is None else self.patches(features)

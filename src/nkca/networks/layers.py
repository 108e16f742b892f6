"""The blocks of the U-Net (docs/method.md, The denoiser), channels first: (B, channels, H, W) float32."""

import math

import torch
from torch import Tensor, nn

from nkca.networks.attention import HEAD_WIDTH, HEADS, linear_attention
from nkca.networks.mish import mish
from nkca.networks.norm_mish import GateAndSkip, NormMish, norm_mish

GROUPS = 8  # in every GroupNorm; all widths are multiples of it


class SinusoidalEmbedding(nn.Module):
    """t (B,) -> (B, width): sines, then cosines, at width/2 geometric frequencies from 1 to 1/10,000."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, t: Tensor) -> Tensor:
        half = self.width // 2
        index = torch.arange(half, dtype=t.dtype, device=t.device)
        phase = t[:, None] * torch.exp(index * (-math.log(10_000) / (half - 1)))
        return torch.cat([phase.sin(), phase.cos()], dim=1)


class LevelEmbedding(nn.Module):
    """t (B,) -> (B, width, 1, 1): sinusoids, then two linear layers; broadcast to H x W."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sinusoids = SinusoidalEmbedding(width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        e: Tensor = self.second(mish(self.first(self.sinusoids(t))))
        return e[:, :, None, None]


class _Normed(nn.Module):
    """A layer that ends with GroupNorm and Mish, computed by ``norm_mish``."""

    norm_mish: NormMish = staticmethod(norm_mish)


class Block(_Normed):
    """3 x 3 convolution, GroupNorm, Mish, then optionally a shift (B, width_out, 1, 1) and a residual."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, width_out)

    def forward(
        self, x: Tensor, shift: Tensor | None = None, residual: GateAndSkip | None = None
    ) -> Tensor:
        return self.norm_mish(self.conv(x), self.norm, shift, residual)


class EmbeddingBlock(nn.Module):
    """Block, add the projected embedding, Block."""

    def __init__(self, width_in: int, width_out: int, width_embedding: int) -> None:
        super().__init__()
        self.block1 = Block(width_in, width_out)
        self.embedding = nn.Conv2d(width_embedding, width_out, 1)
        self.block2 = Block(width_out, width_out)

    def forward(self, x: Tensor, embedding: Tensor, residual: GateAndSkip | None = None) -> Tensor:
        shift = self.embedding(mish(embedding))
        out: Tensor = self.block2(self.block1(x, shift), residual=residual)
        return out


class LinearAttention(_Normed):
    """Linear attention (`nkca.networks.attention`), GroupNorm, Mish; (B, width, H, W) in and out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(width, 3 * HEADS * HEAD_WIDTH, 1, bias=False)
        self.out = nn.Conv2d(HEADS * HEAD_WIDTH, width, 1)
        self.norm = nn.GroupNorm(GROUPS, width)

    def forward(self, x: Tensor, residual: GateAndSkip | None = None) -> Tensor:
        out = self.out(linear_attention(self.qkv(x)))
        return self.norm_mish(out, self.norm, residual=residual)


class Residual(nn.Module):
    """gate * f(x) + skip(x); the gate, one for each channel, starts at zero.

    f ends with GroupNorm and Mish; they apply gate and skip in the same pass over the map.
    """

    def __init__(self, fn: nn.Module, width_in: int, width_out: int) -> None:
        super().__init__()
        self.fn = fn
        self.gate = nn.Parameter(torch.zeros(1, width_out, 1, 1))
        self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x: Tensor, *embedding: Tensor) -> Tensor:
        out: Tensor = self.fn(x, *embedding, residual=(self.gate, self.skip(x)))
        return out


def use_norm_mish(module: nn.Module, function: NormMish) -> None:
    """Make the layers of ``module`` compute GroupNorm and Mish by ``function``."""
    for layer in module.modules():
        if isinstance(layer, _Normed):
            layer.norm_mish = function


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the initial value of every weight from ``generator``, with PyTorch's default distributions.

    Raises:
        TypeError: for a layer with weights of its own for which there is no rule.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, generator=generator)
        elif isinstance(layer, nn.GroupNorm):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, Residual):
            nn.init.zeros_(layer.gate)
        elif next(layer.parameters(recurse=False), None) is not None:
            raise TypeError(f"no rule for the initial weights of {type(layer).__name__}")

"""The U-Net (SPEC section 3): features and a level embedding in, features out."""

import itertools

import torch
from torch import Tensor, nn

from nkca.networks.layers import EmbeddingBlock, LinearAttention, Residual


class Stage(nn.Module):
    """Residual(EmbeddingBlock), Residual(attention), Residual(EmbeddingBlock)."""

    def __init__(self, width_in: int, width_out: int, width_embedding: int) -> None:
        super().__init__()
        self.block1 = Residual(
            EmbeddingBlock(width_in, width_out, width_embedding), width_in, width_out
        )
        self.attention = Residual(LinearAttention(width_out), width_out, width_out)
        self.block2 = Residual(
            EmbeddingBlock(width_out, width_out, width_embedding), width_out, width_out
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        out: Tensor = self.block2(self.attention(self.block1(x, embedding)), embedding)
        return out


class UNet(nn.Module):
    """h channels in and out, any H x W that 2^(levels - 1) divides.

    Args:
        hidden_size: h, a multiple of 8.
        dim_mults: the width of level l is ``h * dim_mults[l]``.
    """

    def __init__(self, hidden_size: int, dim_mults: tuple[int, ...]) -> None:
        super().__init__()
        h = hidden_size
        widths = [h] + [h * m for m in dim_mults]
        levels = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([Stage(above, below, h) for above, below in levels])
        self.shrink = nn.ModuleList([nn.Conv2d(d, d, 3, stride=2, padding=1) for d in widths[1:-1]])
        self.middle = Stage(widths[-1], widths[-1], h)
        self.up = nn.ModuleList([Stage(2 * below, above, h) for above, below in reversed(levels)])
        self.enlarge = nn.ModuleList(
            [nn.ConvTranspose2d(d, d, 4, stride=2, padding=1) for d in reversed(widths[1:-1])]
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map x (B, h, H, W) and embedding (B, h, 1, 1) to (B, h, H, W)."""
        kept: list[Tensor] = []
        for level, stage in enumerate(self.down):
            x = stage(x, embedding)
            kept.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        x = self.middle(x, embedding)
        for level, stage in enumerate(self.up):
            x = stage(torch.cat([x, kept.pop()], dim=1), embedding)
            if level < len(self.enlarge):
                x = self.enlarge[level](x)
        return x

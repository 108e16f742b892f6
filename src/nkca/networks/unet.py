"""The U-Net (docs/method.md, The denoiser): features and a level embedding in, features out.

Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): a stage whose activations are recomputed
keeps only the inputs of its three residuals for the backward pass, which computes the rest again. Weights,
result and gradients are the same; a training step costs one more forward pass of that stage.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

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

    def recomputed(self, embedding: Tensor, *x: Tensor) -> Tensor:
        """As ``forward`` of the concatenated ``x``, with activations recomputed in the backward pass."""
        out = _recomputed(lambda e, *maps: self.block1(torch.cat(maps, 1), e), embedding, *x)
        return _recomputed(self.block2, _recomputed(self.attention, out), embedding)


def _recomputed(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``function(*inputs)``; the backward pass calls it again, with the same inputs."""
    out: Tensor = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return out


class UNet(nn.Module):
    """The U-Net: h channels in and out, any H and W; odd sides of a level's maps are halved upwards.

    Args:
        hidden_size: h, a multiple of 8.
        dim_mults: the width of level l is ``h * dim_mults[l]``.

    Attributes:
        recomputed_levels: the number of levels, outermost first, whose activations are recomputed in
            the backward pass instead of kept; 0 is none, ``len(dim_mults)`` all. Not saved with weights.
    """

    def __init__(self, hidden_size: int, dim_mults: tuple[int, ...]) -> None:
        super().__init__()
        h = hidden_size
        widths = [h] + [h * m for m in dim_mults]
        levels = list(itertools.pairwise(widths))
        self.recomputed_levels = 0
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
            x = self._run(stage, level, embedding, x)
            kept.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        x = self._run(self.middle, len(kept) - 1, embedding, x)
        for step, stage in enumerate(self.up):
            x = self._run(stage, len(kept) - 1, embedding, x, kept.pop())
            if step < len(self.enlarge):
                height, width = kept[-1].shape[2:]  # less than x, where an odd side was halved
                x = self.enlarge[step](x)[..., :height, :width]
        return x

    def _run(self, stage: nn.Module, level: int, embedding: Tensor, *x: Tensor) -> Tensor:
        """Apply the stage of a level to the concatenated maps ``x``."""
        assert isinstance(stage, Stage)
        if level < self.recomputed_levels and torch.is_grad_enabled():
            return stage.recomputed(embedding, *x)
        out: Tensor = stage(torch.cat(x, dim=1) if len(x) > 1 else x[0], embedding)
        return out


def recompute_levels(network: nn.Module, levels: int) -> None:
    """Recompute the activations of the ``levels`` outermost levels of the U-Nets in ``network``."""
    for module in network.modules():
        if isinstance(module, UNet):
            module.recomputed_levels = levels

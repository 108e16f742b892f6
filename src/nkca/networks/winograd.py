"""3 x 3 convolutions in float32 by Winograd's minimal filtering (`winograd.cpp`)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nkca.networks.kernels import call, have_kernels_for

LANES = 16  # widths are multiples of the longest vectors there are, in floats
WIDTH, TILES = 32, 32  # with fewer channels or tiles of 2 x 2 oneDNN is as fast


def is_suited(x: Tensor, weight: Tensor) -> bool:
    """Whether `convolve` takes x (B, C, H, W) and weight (D, C, 3, 3), and is the faster way."""
    return (
        have_kernels_for(x)
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and len(x) * ((x.shape[2] + 1) // 2) * ((x.shape[3] + 1) // 2) >= TILES
        and min(weight.shape[:2]) >= WIDTH
        and weight.shape[0] % LANES == weight.shape[1] % LANES == 0
        and weight.is_contiguous(memory_format=torch.channels_last)
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `functional.conv2d` with padding 1: (B, D, H, W) in channels-last memory, nearer the exact sum."""
    out: Tensor = _Winograd.apply(x, weight, bias)
    return out


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, width_in, height, width = x.shape
        out = x.new_empty(batch, height, width, len(weight)).permute(0, 3, 1, 2)
        sizes = (batch, height, width, width_in, len(weight))
        call("winograd", x.dtype, [x, weight, bias, out], *sizes)
        ctx.save_for_backward(x, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        batch, width_in, height, width = x.shape
        given = gradient.contiguous(memory_format=torch.channels_last)
        by_x, by_weight = torch.empty_like(x), torch.empty_like(weight)
        sizes = (batch, height, width, width_in, len(weight))
        call("winograd_backward", x.dtype, [x, weight, given, by_x, by_weight], *sizes)
        return by_x, by_weight, given.sum((0, 2, 3))

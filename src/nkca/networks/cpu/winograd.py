"""3 x 3 convolutions by Winograd's minimal filtering (`winograd.cpp`), in float32 and bfloat16."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nkca.networks.cpu.library import Kernels, is_channels_last_cpu

LANES = 16  # floats in the longest vectors; numbers of channels must be multiples of it
MIN_CHANNELS = {torch.float32: 32, torch.bfloat16: 64}  # with fewer, oneDNN is as fast
MIN_TILES = 32  # of 2 x 2; with fewer, transforming the weights takes too large a share


def is_suited(kernels: Kernels, x: Tensor, weight: Tensor) -> bool:
    """Whether `convolve` accepts x (B, C, H, W) and weight (D, C, 3, 3), and is faster than oneDNN."""
    dtype = _dtype(x)
    return (
        is_channels_last_cpu(x)
        and dtype in MIN_CHANNELS
        and weight.dtype == torch.float32
        and kernels.has("winograd", dtype)
        and min(weight.shape[:2]) >= MIN_CHANNELS[dtype]
        and weight.shape[0] % LANES == weight.shape[1] % LANES == 0
        and weight.is_contiguous(memory_format=torch.channels_last)
        and len(x) * ((x.shape[2] + 1) // 2) * ((x.shape[3] + 1) // 2) >= MIN_TILES
    )


def convolve(kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `functional.conv2d` with padding 1: (B, D, H, W) in channels-last memory.

    The dtype is that of autocast, if enabled, else that of x. In float32 the result is nearer to the exact
    sum than that of direct convolution; in bfloat16 the weights are not rounded first, and their gradient
    is computed in float32.
    """
    out: Tensor = _Winograd.apply(kernels, x.to(_dtype(x)), weight, bias)
    return out


def _dtype(x: Tensor) -> torch.dtype:
    """The dtype in which the convolution is computed."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, width_in, height, width = x.shape
        out = x.new_empty(batch, height, width, len(weight)).permute(0, 3, 1, 2)
        sizes = (batch, height, width, width_in, len(weight))
        kernels.call("winograd", x.dtype, [x, weight, bias, out], *sizes)
        ctx.kernels = kernels
        ctx.save_for_backward(x, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        batch, width_in, height, width = x.shape
        grad_y = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        grad_x, grad_weight = torch.empty_like(x), torch.empty_like(weight)
        sizes = (batch, height, width, width_in, len(weight))
        ctx.kernels.call(
            "winograd_backward", x.dtype, [x, weight, grad_y, grad_x, grad_weight], *sizes
        )
        return None, grad_x, grad_weight, grad_y.sum((0, 2, 3), dtype=weight.dtype)

"""A 3 x 3 convolution of a small map with many channels in bfloat16, as one matrix product.

oneDNN's convolutions work along the rows of a map. Where a row has four pixels and the weights are
megabytes, they reach half of what the processor can do; a product of all positions of all images with all
weights reaches four fifths. The numbers are the same to rounding.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

POSITIONS = 16  # of a map: at 7 x 7 the convolution is the faster one
WEIGHTS = 1 << 19  # channels in times channels out
FEW = 256  # channels out at once


def is_suited(x: Tensor, weight: Tensor) -> bool:
    """Whether `convolve` is the faster way for x (B, C, H, W), in channels-last memory on the CPU."""
    return (
        x.device.type == "cpu"
        and _dtype(x) == torch.bfloat16
        and 1 < x.shape[2] * x.shape[3] <= POSITIONS
        and len(x) > 0
        and weight.shape[0] * weight.shape[1] >= WEIGHTS
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `functional.conv2d` with padding 1, x (B, C, H, W), weight (D, C, 3, 3), bias (D,).

    The dtype is autocast's or that of x. Of x and the weight no copies are kept for the backward pass.
    """
    out: Tensor = _Convolution.apply(x.to(_dtype(x)), weight, bias)
    return out


def _dtype(x: Tensor) -> torch.dtype:
    """In which the convolution is computed."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        out = functional.linear(_patches(x), _rows(weight).to(x.dtype), bias.to(x.dtype))
        return _as_maps(out, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        given = gradient.to(x.dtype).permute(0, 2, 3, 1).reshape(-1, len(weight))
        by_weight, patches = torch.empty_like(_rows(weight)), _patches(x)
        for first in range(0, len(weight), FEW):  # no second large block beside the gradient
            by_weight[first : first + FEW] = given[:, first : first + FEW].T @ patches
        by_x = _gather(given @ _rows(weight).to(x.dtype), x)
        by_bias = given.sum(0, dtype=weight.dtype)
        return by_x, by_weight.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2), by_bias


def _rows(weight: Tensor) -> Tensor:
    """Weights (D, C, 3, 3) as (D, 9 C), in the order of `_patches`."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _as_maps(rows: Tensor, x: Tensor) -> Tensor:
    """(B H W, D) as (B, D, H, W) in channels-last memory, B, H and W those of x."""
    return rows.view(len(x), x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2)


def _patches(x: Tensor) -> Tensor:
    """Maps (B, C, H, W) -> (B H W, 9 C): what a 3 x 3 window sees, zeros beyond the edge."""
    around = functional.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    return torch.cat(_windows(around), dim=-1).view(-1, 9 * x.shape[1])


def _gather(patches: Tensor, x: Tensor) -> Tensor:
    """The transpose of `_patches`: what the windows (B H W, 9 C) hold, summed at its place in x."""
    batch, channels, height, width = x.shape
    around = patches.new_zeros(batch, height + 2, width + 2, channels)
    parts = patches.view(batch, height, width, 9, channels).unbind(3)
    for window, part in zip(_windows(around), parts, strict=True):
        window += part
    return around[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _windows(around: Tensor) -> list[Tensor]:
    """Of maps (B, H + 2, W + 2, C) the nine views (B, H, W, C) that a 3 x 3 window sees, row by row."""
    height, width = around.shape[1] - 2, around.shape[2] - 2
    return [around[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]

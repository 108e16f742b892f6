"""A 3 x 3 convolution of a small map with many channels, as one matrix product.

oneDNN's convolutions work along the rows of a map. Where a row has four pixels and the weights are
megabytes, they reach a fifth to a half of what the processor can do; a product of all positions of all
images with all weights reaches four fifths. The numbers are the same to rounding.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

POSITIONS = 16  # of a map: at 7 x 7 the convolution is the faster one
WEIGHTS = 1 << 19  # channels in times channels out


def is_small(x: Tensor, weight: Tensor) -> bool:
    """Whether `convolve` is the faster way for x (B, C, H, W), in channels-last memory on the CPU."""
    return (
        x.device.type == "cpu"
        and 1 < x.shape[2] * x.shape[3] <= POSITIONS
        and len(x) > 0
        and weight.shape[0] * weight.shape[1] >= WEIGHTS
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As `functional.conv2d` with padding 1, x (B, C, H, W), weight (D, C, 3, 3), bias (D,)."""
    batch, _, height, width = x.shape
    patches = _Patches.apply(x)
    flat = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
    if torch.is_autocast_enabled("cpu") or x.dtype != torch.float32:
        out = functional.linear(patches, flat, bias)
    else:
        out = _Product.apply(patches, flat)
        out = out if bias is None else out + bias
    return out.view(batch, height, width, -1).permute(0, 3, 1, 2)


class _Patches(torch.autograd.Function):
    """Maps (B, C, H, W) -> (B H W, 9 C): the neighbours of each position, zeros beyond the edge."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        around = functional.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        return torch.cat(_neighbours(around), dim=-1).view(-1, 9 * x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        batch, channels, height, width = ctx.shape
        around = gradient.new_zeros(batch, height + 2, width + 2, channels)
        parts = gradient.view(batch, height, width, 9, channels).unbind(3)
        for neighbour, part in zip(_neighbours(around), parts, strict=True):
            neighbour += part
        return around[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _neighbours(around: Tensor) -> list[Tensor]:
    """Of maps (B, H + 2, W + 2, C) the nine views (B, H, W, C) that a 3 x 3 window sees, row by row."""
    height, width = around.shape[1] - 2, around.shape[2] - 2
    return [around[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]


class _Product(torch.autograd.Function):
    """a (M, K), b (N, K) -> a bᵀ in float32 by oneDNN, which PyTorch asks for convolutions only.

    On AMD's processors that is twice as fast as the library it asks for products.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _product(a, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        by_a = torch.ops.aten.convolution_backward(
            *(_as_map(gradient), _as_map(a), b[:, :, None, None], None, [1, 1], [0, 0], [1, 1]),
            *(False, [0, 0], 1, [True, False, False]),
        )[0]
        by_b = _product(gradient.T.contiguous(), a.T.contiguous())
        return by_a[0, :, :, 0].T, by_b


def _product(a: Tensor, b: Tensor) -> Tensor:
    return functional.conv2d(_as_map(a), b[:, :, None, None])[0, :, :, 0].T


def _as_map(rows: Tensor) -> Tensor:
    """(M, K) as an image (1, K, M, 1) of M positions and K channels, channels last."""
    return rows[None, :, None].permute(0, 3, 1, 2)

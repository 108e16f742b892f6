"""GroupNorm, Mish and the shift after them: what a block does between its convolutions.

As three operations they read and write the image seven times and take as long as the convolutions of a
small model. `norm_mish.cpp` does them in one go, for images in channels-last memory on the CPU; it is
used once `load_kernels` has found a compiler. Elsewhere PyTorch's operations give the same numbers.
"""

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nkca.networks.mish import mish
from nkca.networks.native import compiled

SOURCE = Path(__file__).with_suffix(".cpp")
_kernels: ctypes.CDLL | None = None


def load_kernels() -> bool:
    """Let this process use the compiled kernels; return whether they were compiled just now.

    Raises:
        CannotCompileError: if that cannot be done here.
    """
    global _kernels
    library, fresh = compiled(SOURCE)
    _kernels = library
    return fresh


def norm_mish(x: Tensor, norm: nn.GroupNorm, shift: Tensor | None = None) -> Tensor:
    """mish(norm(x)) + shift for x (B, C, H, W) and shift (B, C, 1, 1), in the layout of x.

    Statistics and arithmetic are float32. The kernels return the dtype of x, autocast's GroupNorm
    float32.
    """
    if _kernels is not None and _covers(x):
        out: Tensor = _NormMish.apply(x, norm.weight, norm.bias, shift, norm.num_groups, norm.eps)
        return out
    out = mish(norm(x))
    return out if shift is None else out + shift


def _covers(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.is_contiguous(memory_format=torch.channels_last)
    )


class _NormMish(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        shift: Tensor | None,
        groups: int,
        epsilon: float,
    ) -> Tensor:
        batch, channels, height, width = x.shape
        y = torch.empty_like(x)
        mean, inverse = torch.empty(2, batch, channels)
        _call(
            "forward",
            x,
            [x, weight, bias, None if shift is None else shift.float(), y, mean, inverse],
            [batch, height * width, channels, groups],
            ctypes.c_float(epsilon),
        )
        ctx.save_for_backward(x, weight, bias, mean, inverse)
        ctx.groups, ctx.shift = groups, None if shift is None else shift.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse = ctx.saved_tensors
        batch, channels, height, width = x.shape
        given = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x)
        by_weight, by_bias, by_shift = torch.empty(3, batch, channels)
        _call(
            "backward",
            x,
            [x, given, weight, bias, mean, inverse, dx, by_weight, by_bias, by_shift],
            [batch, height * width, channels, ctx.groups],
        )
        shift = None if ctx.shift is None else by_shift[:, :, None, None].to(ctx.shift)
        return dx, by_weight.sum(0), by_bias.sum(0), shift, None, None


def _call(
    name: str,
    x: Tensor,
    tensors: list[Tensor | None],
    sizes: list[int],
    *more: ctypes.c_float,
) -> None:
    """Call the kernel ``name`` for the dtype of x with pointers, then 64-bit integers."""
    kernel = getattr(_kernels, f"{name}_{str(x.dtype).removeprefix('torch.')}")
    pointers = [ctypes.c_void_p(0 if t is None else t.data_ptr()) for t in tensors]
    kernel(*pointers, *map(ctypes.c_int64, sizes), *more)

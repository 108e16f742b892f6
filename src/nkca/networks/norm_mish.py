"""GroupNorm, Mish and the shift after them: what a block does between its convolutions."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nkca.networks.kernels import call, have_kernels_for
from nkca.networks.mish import mish


def norm_mish(x: Tensor, norm: nn.GroupNorm, shift: Tensor | None = None) -> Tensor:
    """mish(norm(x)) + shift for x (B, C, H, W) and shift (B, C, 1, 1), in the layout of x.

    Statistics and arithmetic are float32. The kernels return the dtype of x, autocast's GroupNorm
    float32.
    """
    if have_kernels_for(x) and norm.weight.dtype == torch.float32:
        out: Tensor = _NormMish.apply(x, norm.weight, norm.bias, shift, norm.num_groups, norm.eps)
        return out
    out = mish(norm(x))
    return out if shift is None else out + shift


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
        ctx.groups, ctx.shift = groups, None if shift is None else shift.dtype
        batch, channels, height, width = x.shape
        y = torch.empty_like(x)
        mean, inverse = torch.empty(2, batch, channels)
        shift = None if shift is None else shift.float().contiguous()
        tensors = [x, weight, bias, shift, y, mean, inverse]
        call("norm_mish", x.dtype, tensors, batch, height * width, channels, groups, epsilon)
        ctx.save_for_backward(x, weight, bias, mean, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse = ctx.saved_tensors
        batch, channels, height, width = x.shape
        given = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x)
        by_weight, by_bias, by_shift = torch.empty(3, batch, channels)
        tensors = [x, given, weight, bias, mean, inverse, dx, by_weight, by_bias, by_shift]
        call("norm_mish_backward", x.dtype, tensors, batch, height * width, channels, ctx.groups)
        shift = None if ctx.shift is None else by_shift[:, :, None, None].to(ctx.shift)
        return dx, by_weight.sum(0), by_bias.sum(0), shift, None, None

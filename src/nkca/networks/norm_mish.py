"""GroupNorm, Mish and a shift or gate: the operations between the convolutions of the U-Net."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nkca.networks.cpu.library import Kernels
from nkca.networks.mish import mish

GateAndSkip = tuple[Tensor, Tensor]  # (1, C, 1, 1) and (B, C, H, W)


def norm_mish(
    x: Tensor,
    norm: nn.GroupNorm,
    shift: Tensor | None = None,
    residual: GateAndSkip | None = None,
    kernels: Kernels | None = None,
) -> Tensor:
    """mish(norm(x)) + shift for x (B, C, H, W) and shift (B, C, 1, 1), in the layout of x.

    With a ``residual`` it is gate * (mish(norm(x)) + shift) + skip.

    Statistics and arithmetic are float32. The ``kernels`` return the dtype of x; without them, under
    autocast, the result is float32.
    """
    if kernels is not None and kernels.accept(x) and norm.weight.dtype == torch.float32:
        if (
            residual
            and shift is None
            and residual[1].dtype == x.dtype
            and kernels.accept(residual[1])
        ):
            return _call_kernel(kernels, x, norm, *residual)
        out = _call_kernel(kernels, x, norm, shift, None)
    else:
        out = mish(norm(x))
        out = out if shift is None else out + shift
    if residual is None:
        return out
    gate, skip = residual
    return torch.addcmul(skip, gate.to(out.dtype), out)


def _call_kernel(
    kernels: Kernels,
    x: Tensor,
    norm: nn.GroupNorm,
    operand: Tensor | None,
    skip: Tensor | None,
) -> Tensor:
    """Call the kernel: mish(norm(x)) + operand or, with a skip, mish(norm(x)) * operand + skip."""
    out: Tensor = _NormMish.apply(
        kernels, x, norm.weight, norm.bias, operand, skip, norm.num_groups, norm.eps
    )
    return out


class _NormMish(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernels: Kernels,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        operand: Tensor | None,
        skip: Tensor | None,
        groups: int,
        epsilon: float,
    ) -> Tensor:
        batch, channels, height, width = x.shape
        y = torch.empty_like(x)
        mean, inverse = torch.empty(2, batch, channels)
        ctx.kernels, ctx.gated, ctx.groups = kernels, skip is not None, groups
        ctx.operand = None if operand is None else (operand.shape, operand.dtype)
        operand = None if operand is None else operand.float().contiguous()
        tensors = [x, weight, bias, operand, skip, y, mean, inverse]
        kernels.call(
            "norm_mish", x.dtype, tensors, batch, height * width, channels, groups, epsilon
        )
        ctx.save_for_backward(x, weight, bias, operand if ctx.gated else None, mean, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, gate, mean, inverse = ctx.saved_tensors
        batch, channels, height, width = x.shape
        grad_y = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(x)
        grad_weight, grad_bias, grad_operand = torch.empty(3, batch, channels)
        tensors = [
            x,
            grad_y,
            weight,
            bias,
            gate,
            mean,
            inverse,
            grad_x,
            grad_weight,
            grad_bias,
            grad_operand,
        ]
        sizes = (batch, height * width, channels, ctx.groups)
        ctx.kernels.call("norm_mish_backward", x.dtype, tensors, *sizes)
        total = grad_operand.sum(0) if ctx.gated else grad_operand
        return (
            None,
            grad_x,
            grad_weight.sum(0),
            grad_bias.sum(0),
            None if ctx.operand is None else total.view(ctx.operand[0]).to(ctx.operand[1]),
            grad_y if ctx.gated else None,
            None,
            None,
        )

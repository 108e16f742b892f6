"""Mish, x tanh(softplus(x)), without tanh and softplus.

With s = sigmoid(x) and u = s (2 - s),

    tanh(softplus(x)) = u / (2 - u)  =: r        mish(x) = x r
                                                 mish'(x) = r + x s (1 - r²)

which are exact, and stable at both ends: nothing cancels. PyTorch's kernel for the CPU evaluates three
transcendental functions for each number, which takes as long as the convolutions of a small model; this
evaluates one, in blocks that stay in the processor's cache. Other devices and dtypes use PyTorch's kernel.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

MIN_NUMBERS = 1 << 12  # for fewer numbers, one call to PyTorch is cheaper than six
BLOCK = 1 << 19  # numbers in a block: a few blocks of float32 fit into a second-level cache


def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x)), of the shape, dtype and layout of x (B, ...)."""
    small = x.numel() < MIN_NUMBERS or x.ndim == 0
    is_suited = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if small or not is_suited or is_transformed():
        return functional.mish(x)
    out: Tensor = _Mish.apply(x)
    return out


def is_transformed() -> bool:
    """Whether `torch.func` or `torch.vmap`, which know PyTorch's operations only, are at work."""
    return torch._C._are_functorch_transforms_active()


class _Mish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        out = torch.empty_like(x)
        for rows, into in _blocks(x, out):
            u = torch.sigmoid(rows, out=into)
            u.mul_(torch.rsub(u, 2))
            denominator = torch.rsub(u, 2)
            u.mul_(rows).div_(denominator)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        one, two = torch.tensor([1.0, 2.0], dtype=x.dtype)
        for rows, into, grad in _blocks(x, out, gradient):
            s = torch.sigmoid(rows)
            u = torch.sub(two, s, out=into).mul_(s)
            r = u.div_(torch.rsub(u, 2))
            slope = torch.addcmul(one, r, r, value=-1).mul_(s).mul_(rows)
            r.add_(slope).mul_(grad)
        return out


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split tensors of one shape into runs of rows, each as long as fits into a block."""
    first = tensors[0]
    rows = max(1, BLOCK * len(first) // first.numel())
    return zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)

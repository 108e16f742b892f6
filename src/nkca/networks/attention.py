"""Linear attention: heads whose keys are a softmax over positions, so that the cost is O(H W)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nkca.networks.cpu.library import Kernels

HEADS, HEAD_WIDTH = 4, 32  # elementwise.cpp has the same width


def linear_attention(qkv: Tensor, kernels: Kernels | None = None) -> Tensor:
    """Map queries, keys and values (B, 3 heads width, H, W) to (B, heads width, H, W), in the same layout.

    For each image and head: context = softmax(k) vᵀ, the softmax over positions; out = contextᵀ q.
    """
    if kernels is not None and kernels.accept(qkv):
        out: Tensor = _LinearAttention.apply(kernels, qkv)
        return out
    batch, _, height, width = qkv.shape
    q, k, v = qkv.reshape(batch, 3, HEADS, HEAD_WIDTH, height * width).unbind(1)
    context = k.softmax(-1) @ v.transpose(-1, -2)
    out = context.transpose(-1, -2) @ q
    return out.reshape(batch, HEADS * HEAD_WIDTH, height, width)


class _LinearAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Kernels, qkv: Tensor) -> Tensor:
        batch, _, height, width = qkv.shape
        out = torch.empty(
            batch,
            HEADS * HEAD_WIDTH,
            height,
            width,
            dtype=qkv.dtype,
            memory_format=torch.channels_last,
        )
        context = torch.empty(batch, HEADS, HEAD_WIDTH, HEAD_WIDTH)
        max_key, sum_exp = torch.empty(2, batch, HEADS, HEAD_WIDTH)
        tensors = [qkv, out, context, max_key, sum_exp]
        kernels.call("attention", qkv.dtype, tensors, batch, height * width, HEADS)
        ctx.kernels = kernels
        ctx.save_for_backward(qkv, context, max_key, sum_exp)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        qkv, context, max_key, sum_exp = ctx.saved_tensors
        batch, _, height, width = qkv.shape
        grad_out = gradient.to(qkv.dtype).contiguous(memory_format=torch.channels_last)
        grad_qkv = torch.empty_like(qkv)
        tensors = [qkv, grad_out, context, max_key, sum_exp, grad_qkv]
        ctx.kernels.call("attention_backward", qkv.dtype, tensors, batch, height * width, HEADS)
        return None, grad_qkv

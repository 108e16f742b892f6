"""Linear attention: heads whose keys are a softmax over positions, so that the cost is O(H W)."""

import torch
from torch import Tensor

HEADS, HEAD_WIDTH = 4, 32


def linear_attention(qkv: Tensor) -> Tensor:
    """Map queries, keys and values (B, 3 heads width, H, W) to (B, heads width, H, W), in the same layout.

    For each image and head: context = softmax(k) vᵀ, the softmax over positions; out = contextᵀ q.
    """
    batch, _, height, width = qkv.shape
    if not qkv.is_contiguous() and qkv.is_contiguous(memory_format=torch.channels_last):
        rows = qkv.permute(0, 2, 3, 1).reshape(batch, height * width, 3, HEADS, HEAD_WIDTH)
        q, k, v = rows.permute(2, 0, 3, 1, 4)  # (B, heads, positions, width) without a copy
        context = k.softmax(2).transpose(-1, -2) @ v
        out = (q @ context).transpose(1, 2).reshape(batch, height, width, HEADS * HEAD_WIDTH)
        result: Tensor = out.permute(0, 3, 1, 2)
        return result
    q, k, v = qkv.reshape(batch, 3, HEADS, HEAD_WIDTH, height * width).unbind(1)
    context = k.softmax(-1) @ v.transpose(-1, -2)
    out = context.transpose(-1, -2) @ q
    return out.reshape(batch, HEADS * HEAD_WIDTH, height, width)

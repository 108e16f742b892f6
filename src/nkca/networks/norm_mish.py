"""GroupNorm, Mish and a shift or gate: the operations between the convolutions of the U-Net."""

from typing import Protocol

import torch
from torch import Tensor, nn

from nkca.networks.mish import mish

GateAndSkip = tuple[Tensor, Tensor]  # (1, C, 1, 1) and (B, C, H, W)


class NormMish(Protocol):
    """What computes it: `norm_mish`, or a faster function that agrees up to rounding."""

    def __call__(
        self,
        x: Tensor,
        norm: nn.GroupNorm,
        shift: Tensor | None = None,
        residual: GateAndSkip | None = None,
    ) -> Tensor: ...


def norm_mish(
    x: Tensor,
    norm: nn.GroupNorm,
    shift: Tensor | None = None,
    residual: GateAndSkip | None = None,
) -> Tensor:
    """mish(norm(x)) + shift for x (B, C, H, W) and shift (B, C, 1, 1), in the layout of x.

    With a ``residual`` it is gate * (mish(norm(x)) + shift) + skip. Statistics are float32; under autocast
    the result is too.
    """
    out = mish(norm(x))
    out = out if shift is None else out + shift
    return out if residual is None else with_residual(out, residual)


def with_residual(x: Tensor, residual: GateAndSkip) -> Tensor:
    """gate * x + skip."""
    gate, skip = residual
    return torch.addcmul(skip, gate.to(x.dtype), x)

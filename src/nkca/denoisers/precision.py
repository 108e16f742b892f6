"""The precision of a denoiser: float32, bfloat16 or float16."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nkca.denoisers.contract import Denoiser
from nkca.distributions.contracts import Posterior
from nkca.system.device import has_fast_bfloat16, has_fast_float16


@dataclass(frozen=True)
class HalfPrecision:
    """A denoiser whose convolutions and matrix products run in ``dtype``; p(z|x) itself is float32.

    Args:
        dtype: bfloat16 or float16.
    """

    denoiser: Callable[..., Posterior]
    dtype: torch.dtype

    def __call__(self, x: Tensor, noise_level: Tensor, *conditions: Tensor) -> Posterior:
        """Return p(z|x) for states x (B, C, H, W) at levels (B,); conditions as the network takes them."""
        with torch.autocast(x.device.type, self.dtype):
            return self.denoiser(x, noise_level, *conditions)


def dtype_named(name: str, device: torch.device) -> torch.dtype:
    """The dtype of fp32, bf16 or fp16; of auto: bfloat16 where it is fast, else float16, else float32."""
    if name == "bf16" or (name == "auto" and has_fast_bfloat16(device)):
        return torch.bfloat16
    if name == "fp16" or (name == "auto" and has_fast_float16(device)):
        return torch.float16
    return torch.float32


def with_precision(denoiser: nn.Module, name: str, device: torch.device) -> Denoiser:
    """The denoiser in the precision ``name``, see `dtype_named`."""
    dtype = dtype_named(name, device)
    return denoiser if dtype == torch.float32 else HalfPrecision(denoiser, dtype)


def needs_loss_scale(denoiser: Denoiser) -> bool:
    """Whether gradients of the denoiser may underflow, so that the loss must be scaled: in float16."""
    return isinstance(denoiser, HalfPrecision) and denoiser.dtype == torch.float16

"""Where a denoiser computes, and in which arithmetic."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nkca.distributions import Posterior
from nkca.errors import InputError
from nkca.kernels import Denoiser


@dataclass(frozen=True)
class BFloat16:
    """A denoiser whose convolutions and products run in bfloat16; p(z|x) itself is float32."""

    denoiser: nn.Module

    def __call__(self, x: Tensor, noise_level: Tensor) -> Posterior:
        """Return p(z|x) for states x (B, C, H, W) at levels (B,)."""
        with torch.autocast(x.device.type, torch.bfloat16):
            posterior: Posterior = self.denoiser(x, noise_level)
            return posterior


def choose_device(name: str) -> torch.device:
    """``auto`` is the first of CUDA, MPS and the CPU that is there.

    Raises:
        InputError: if a named device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, found in there.items() if found))
    if not there[name]:
        raise InputError(f"device {name} is not available here; use --device=auto or --device=cpu")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    return False


def with_precision(denoiser: nn.Module, name: str, device: torch.device) -> Denoiser:
    """The denoiser in the arithmetic ``name``: fp32, bf16, or auto: bf16 where it is fast."""
    if name == "bf16" or (name == "auto" and has_fast_bfloat16(device)):
        return BFloat16(denoiser)
    return denoiser

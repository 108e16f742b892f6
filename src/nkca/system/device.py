"""The choice of a device, and copies to it that do not wait."""

import torch
from torch import Tensor

from nkca.errors import InputError


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``; to a CUDA device from pinned memory, so that the host goes on at once."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


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
        raise InputError(f"device {name} is not available here; use the device auto or cpu")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    return False


def has_fast_float16(device: torch.device) -> bool:
    """Whether the device computes in float16 faster than in float32: NVIDIA from Volta on."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)

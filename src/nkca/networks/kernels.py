"""`kernels.cpp`: what a U-Net does between its convolutions, for channels-last images on the CPU.

As PyTorch's operations these read and write the image many times over and take as long as the convolutions
of a small model. The kernels are used once `load_kernels` has found a compiler.
"""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from nkca.networks.native import CannotCompileError, compiled

SOURCE = Path(__file__).with_suffix(".cpp")
_library: ctypes.CDLL | None = None


def load_kernels() -> None:
    """Let this process use the compiled kernels.

    Raises:
        CannotCompileError: if that cannot be done here.
    """
    global _library
    library = compiled(SOURCE)
    if not hasattr(library, "attention_backward_bfloat16"):
        raise CannotCompileError(f"{library._name} is not what {SOURCE.name} makes")
    _library = library


def have_kernels_for(x: Tensor) -> bool:
    """Whether `call` takes x (B, C, H, W)."""
    return (
        _library is not None
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def call(
    name: str, dtype: torch.dtype, tensors: list[Tensor | None], *numbers: int | float
) -> None:
    """Call the kernel ``name`` for images of ``dtype`` with pointers, then int64 and float32 numbers."""
    kernel = getattr(_library, f"{name}_{str(dtype).removeprefix('torch.')}")
    pointers = [ctypes.c_void_p(0 if t is None else t.data_ptr()) for t in tensors]
    scalars = [ctypes.c_int64(n) if isinstance(n, int) else ctypes.c_float(n) for n in numbers]
    kernel(*pointers, *scalars)

"""The native kernels (`elementwise.cpp`, `winograd.cpp`) for channels-last images on the CPU.

What is between the convolutions takes as long as they do in a small model, as PyTorch's operations, which
read and write the image many times over. 3 x 3 convolutions in float32 take about half of oneDNN's time.
The kernels are used once `load_kernels` has found a compiler.
"""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from nkca.system.compiler import CannotCompileError, compiled

SOURCES = tuple(Path(__file__).with_name(name) for name in ("elementwise.cpp", "winograd.cpp"))
_library: ctypes.CDLL | None = None


def load_kernels() -> None:
    """Let this process use the compiled kernels.

    Raises:
        CannotCompileError: if that cannot be done here.
    """
    global _library
    library = compiled(*SOURCES)
    if not hasattr(library, "winograd_backward_float32"):
        raise CannotCompileError(f"{library._name} is not what {SOURCES[0].name} makes")
    _library = library


def have_kernels_for(x: Tensor) -> bool:
    """Whether `call` takes x (B, C, H, W)."""
    return x.dtype in (torch.float32, torch.bfloat16) and has_layout(x)


def has_layout(x: Tensor) -> bool:
    """Whether there are kernels, and x (B, C, H, W) lies in memory as they take it."""
    return (
        _library is not None
        and x.device.type == "cpu"
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def have_kernel(name: str, dtype: torch.dtype) -> bool:
    """Whether this processor has the kernel ``name`` for images of ``dtype``."""
    return hasattr(_library, f"{name}_{str(dtype).removeprefix('torch.')}")


def call(
    name: str, dtype: torch.dtype, tensors: list[Tensor | None], *numbers: int | float
) -> None:
    """Call the kernel ``name`` for images of ``dtype`` with pointers, then int64 and float32 numbers."""
    kernel = getattr(_library, f"{name}_{str(dtype).removeprefix('torch.')}")
    pointers = [ctypes.c_void_p(0 if t is None else t.data_ptr()) for t in tensors]
    scalars = [ctypes.c_int64(n) if isinstance(n, int) else ctypes.c_float(n) for n in numbers]
    kernel(*pointers, *scalars)

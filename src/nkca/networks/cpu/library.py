"""The native kernels (`elementwise.cpp`, `winograd.cpp`) for channels-last images on the CPU.

As PyTorch operations, which read and write the image many times, the steps between the convolutions take as
long as the convolutions of a small model. 3 x 3 convolutions in float32 take about half of oneDNN's time.
`nkca.networks.compilation.compile_network` gives the kernels to the layers of a network.
"""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nkca.system.compiler import CannotCompileError, compiled

SOURCES = tuple(Path(__file__).with_name(name) for name in ("elementwise.cpp", "winograd.cpp"))


@dataclass(frozen=True, eq=False)
class Kernels:
    """The compiled kernels; unpickling loads those of the machine that it happens on."""

    library: ctypes.CDLL

    def accept(self, x: Tensor) -> bool:
        """Whether `call` accepts x (B, C, H, W)."""
        return x.dtype in (torch.float32, torch.bfloat16) and is_channels_last_cpu(x)

    def has(self, name: str, dtype: torch.dtype) -> bool:
        """Whether this processor has the kernel ``name`` for images of ``dtype``."""
        return hasattr(self.library, _symbol(name, dtype))

    def call(
        self, name: str, dtype: torch.dtype, tensors: list[Tensor | None], *numbers: int | float
    ) -> None:
        """Call kernel ``name`` for images of ``dtype`` with pointers to ``tensors``, then ``numbers``.

        None is a null pointer; an int is passed as int64, a float as float32.
        """
        kernel = getattr(self.library, _symbol(name, dtype))
        pointers = [ctypes.c_void_p(0 if t is None else t.data_ptr()) for t in tensors]
        scalars = [ctypes.c_int64(n) if isinstance(n, int) else ctypes.c_float(n) for n in numbers]
        kernel(*pointers, *scalars)

    def __reduce__(self) -> tuple[Callable[[], "Kernels | None"], tuple[()]]:
        return _kernels_here, ()


@functools.cache
def find_kernels() -> Kernels | str:
    """The kernels for this processor, loaded once in a process; or the reason why there are none."""
    try:
        library = compiled(*SOURCES)
    except CannotCompileError as error:
        return str(error)
    if not hasattr(library, "winograd_backward_float32"):
        return f"{library._name} is not what {SOURCES[0].name} makes"
    return Kernels(library)


def is_channels_last_cpu(x: Tensor) -> bool:
    """Whether x (B, C, H, W) is on the CPU in channels-last memory."""
    return x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last)


def _symbol(name: str, dtype: torch.dtype) -> str:
    return f"{name}_{str(dtype).removeprefix('torch.')}"


def _kernels_here() -> Kernels | None:
    found = find_kernels()
    return found if isinstance(found, Kernels) else None

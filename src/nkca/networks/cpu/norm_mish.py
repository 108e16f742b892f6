"""GroupNorm, Mish and a shift or gate in one pass over channels-last images, by `norm_mish.cpp`.

As PyTorch operations, which read and write the image many times, they take as long as the convolutions of a
small model. `nkca::norm_mish` and `nkca::norm_mish_backward` are operations of PyTorch, with gradients and
with shapes for tensors without data: `torch.export` and `torch.compile` take them as they are.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nkca.networks import norm_mish as by_pytorch
from nkca.networks.mish import is_transformed
from nkca.networks.norm_mish import GateAndSkip, with_residual
from nkca.system.compiler import CannotCompileError, compiled

_SOURCE = Path(__file__).with_name("norm_mish.cpp")
_SUFFIX = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_BLOCK = 64  # as in norm_mish.cpp


@functools.cache
def kernels() -> ctypes.CDLL | str:
    """The kernels for this processor, loaded once in a process; or the reason why there are none."""
    try:
        return compiled(_SOURCE)
    except CannotCompileError as error:
        return str(error)


def norm_mish(
    x: Tensor,
    norm: nn.GroupNorm,
    shift: Tensor | None = None,
    residual: GateAndSkip | None = None,
) -> Tensor:
    """As `nkca.networks.norm_mish.norm_mish`, in the dtype of x, float32 or bfloat16.

    What the kernels do not take is left to PyTorch: other dtypes, devices and layouts than channels last,
    weights that are not float32, and transforms of functions (`torch.func`).
    """
    is_suited = not is_transformed() and _is_image(x) and norm.weight.dtype == torch.float32
    if not is_suited or isinstance(kernels(), str):
        return by_pytorch.norm_mish(x, norm, shift, residual)
    if residual and shift is None and _is_image(residual[1]) and residual[1].dtype == x.dtype:
        return _apply(x, norm, *residual)
    out = _apply(x, norm, shift, None)
    return out if residual is None else with_residual(out, residual)


def _is_image(x: Tensor) -> bool:
    is_channels_last = x.is_contiguous(memory_format=torch.channels_last)
    return x.device.type == "cpu" and x.dtype in _SUFFIX and is_channels_last and x.numel() > 0


def _apply(x: Tensor, norm: nn.GroupNorm, operand: Tensor | None, skip: Tensor | None) -> Tensor:
    row = None if operand is None else operand.float().flatten(1).contiguous()
    out: Tensor = _forward(x, norm.weight, norm.bias, row, skip, norm.num_groups, norm.eps)[0]
    return out


@torch.library.custom_op("nkca::norm_mish", mutates_args=(), device_types="cpu")
def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    operand: Tensor | None,
    skip: Tensor | None,
    groups: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Map x (B, C, H, W) to mish(norm(x)) + operand or, with a skip, mish(norm(x)) * operand + skip.

    ``operand`` is (B, C) or, with a skip, (1, C). Also returned: mean and 1 / deviation, (B, C).
    """
    batch, channels = x.shape[:2]
    rows = batch if skip is None else 1
    _check(x, groups, {"x": x, "skip": skip})
    _check_rows(
        weight=(weight, (channels,)), bias=(bias, (channels,)), operand=(operand, (rows, channels))
    )
    y, mean, inverse = _shapes(x)
    _call("norm_mish", x, groups, [x, weight, bias, operand, skip, y, mean, inverse], epsilon)
    return y, mean, inverse


@_forward.register_fake
def _shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), _rows(x), _rows(x)


@torch.library.custom_op("nkca::norm_mish_backward", mutates_args=(), device_types="cpu")
def _backward(
    x: Tensor,
    grad_y: Tensor,
    weight: Tensor,
    bias: Tensor,
    gate: Tensor | None,
    mean: Tensor,
    inverse: Tensor,
    groups: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x and, for each image, (B, C), of weight, bias and operand; ``gate``: (1, C)."""
    batch, channels = x.shape[:2]
    _check(x, groups, {"x": x, "grad_y": grad_y})
    vector, row = (channels,), (batch, channels)
    _check_rows(weight=(weight, vector), bias=(bias, vector), gate=(gate, (1, channels)))
    _check_rows(mean=(mean, row), inverse=(inverse, row))
    grad_x, *grads = _backward_shapes(x)
    _call(
        "norm_mish_backward",
        x,
        groups,
        [x, grad_y, weight, bias, gate, mean, inverse, grad_x, *grads],
    )
    return grad_x, *grads


@_backward.register_fake
def _backward_shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.empty_like(x), _rows(x), _rows(x), _rows(x)


def _setup_context(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, weight, bias, operand, skip, ctx.groups, _ = inputs
    ctx.is_gated, ctx.has_operand = skip is not None, operand is not None
    ctx.save_for_backward(x, weight, bias, operand if ctx.is_gated else None, *output[1:])


def _gradients(ctx: Any, grad_y: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    x, *rest = ctx.saved_tensors
    grad_y = grad_y.to(x.dtype).contiguous(memory_format=torch.channels_last)
    grad_x, grad_weight, grad_bias, grad_operand = _backward(x, grad_y, *rest, ctx.groups)
    if ctx.is_gated:
        grad_operand = grad_operand.sum(0, keepdim=True)
    return (
        grad_x,
        grad_weight.sum(0),
        grad_bias.sum(0),
        grad_operand if ctx.has_operand else None,
        grad_y if ctx.is_gated else None,
        None,
        None,
    )


_forward.register_autograd(_gradients, setup_context=_setup_context)


def _rows(x: Tensor) -> Tensor:
    return torch.empty(x.shape[:2], dtype=torch.float32, device=x.device)


def _check(x: Tensor, groups: int, images: dict[str, Tensor | None]) -> None:
    """Raise `ValueError` unless all are images like x, channels last, whose channels ``groups`` divides."""
    for name, image in images.items():
        if image is not None and not (
            _is_image(image) and image.dtype == x.dtype and image.shape == x.shape
        ):
            raise ValueError(
                f"{name} is {_of(image)}; expected an image, channels last, as x: {_of(x)}"
            )
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(f"{groups} groups of {x.shape[1]} channels")


def _check_rows(**expected: tuple[Tensor | None, tuple[int, ...]]) -> None:
    """Raise `ValueError` unless each is float32 of its shape, contiguous, on the CPU."""
    for name, (row, shape) in expected.items():
        if row is not None and not (
            row.shape == shape
            and row.dtype == torch.float32
            and row.device.type == "cpu"
            and row.is_contiguous()
        ):
            raise ValueError(
                f"{name} is {_of(row)}; expected float32 {shape}, contiguous, on the cpu"
            )


def _of(x: Tensor) -> str:
    return f"{x.dtype} {tuple(x.shape)} of strides {x.stride()} on {x.device}"


def _call(name: str, x: Tensor, groups: int, tensors: list[Tensor | None], *epsilon: float) -> None:
    """Call a kernel with pointers to ``tensors``, None being a null pointer, and memory to work in."""
    library = kernels()
    if isinstance(library, str):
        raise RuntimeError(library)
    batch, channels, height, width = x.shape
    threads, blocks = torch.get_num_threads(), -(-height * width // _BLOCK)
    parts = min(threads, blocks) if batch < threads else 1
    scratch = [
        torch.empty(batch, 3 * parts + 3, channels, dtype=dtype, device=x.device)
        for dtype in (torch.float64, torch.float32)
    ]
    pointers = [ctypes.c_void_p(0 if t is None else t.data_ptr()) for t in (*tensors, *scratch)]
    sizes = map(ctypes.c_int64, (batch, height * width, channels, groups, parts))
    getattr(library, f"{name}_{_SUFFIX[x.dtype]}")(*pointers, *sizes, *map(ctypes.c_float, epsilon))

"""Winograd's convolution against the plain sum in double precision."""

import pytest
import torch
from tables import each
from torch import Tensor
from torch.nn import functional

from nkca.networks.cpu.library import Kernels
from nkca.networks.cpu.winograd import convolve, is_suited
from nkca.networks.layers import Conv3x3

SIZES = [  # images, channels in and out, height, width: odd sides, panels that are not full, many tiles
    (2, 16, 16, 2, 2),
    (1, 16, 32, 7, 5),
    (3, 48, 16, 4, 9),
    (2, 80, 112, 6, 6),
    (1, 32, 64, 41, 30),
    (5, 64, 96, 8, 8),
    (40, 16, 16, 3, 3),
]
Sizes = tuple[int, int, int, int, int]


def example(sizes: Sizes) -> list[Tensor]:
    """x, weight and bias, channels last, that want gradients."""
    batch, width_in, width_out, height, width = sizes
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, width_in, height, width, generator=generator) + 0.5
    weight = torch.randn(width_out, width_in, 3, 3, generator=generator) / (9 * width_in) ** 0.5
    tensors = [t.contiguous(memory_format=torch.channels_last) for t in (x, weight)]
    return [t.requires_grad_() for t in (*tensors, torch.randn(width_out, generator=generator))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_value_and_gradients(kernels: Kernels, dtype: torch.dtype) -> None:
    if not kernels.has("winograd", dtype):
        pytest.skip(f"this processor has no kernel for {dtype}")
    for sizes in each(SIZES):
        inputs = example(sizes)
        inputs[0] = inputs[0].detach().to(dtype).requires_grad_()
        exact = [t.detach().double().requires_grad_() for t in inputs]
        truth = functional.conv2d(exact[0], exact[1], exact[2], padding=1)
        given = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        wanted = [truth, *torch.autograd.grad(truth, exact, given.double())]
        rounded = [dtype, dtype, torch.float32, torch.float32]  # the weights' gradients are not
        for threads in each([1, 2, 3]):
            found = by_threads(kernels, inputs, given, threads)
            for ours, theirs, kind in zip(found, wanted, rounded, strict=True):
                assert ours.shape == theirs.shape
                tolerance = 3e-6 if kind == torch.float32 else 1.5e-2
                assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def by_threads(kernels: Kernels, inputs: list[Tensor], given: Tensor, threads: int) -> list[Tensor]:
    """The kernel's value and gradients, computed by so many threads."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        out = convolve(kernels, *inputs)
        assert out.is_contiguous(memory_format=torch.channels_last)
        assert out.dtype == given.dtype
        return [out, *torch.autograd.grad(out, inputs, given)]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_tiles_of_few_and_of_many_channels(kernels: Kernels, dtype: torch.dtype) -> None:
    """Each thread's own sums of weights' gradients, and shared ones, over several turns."""
    if not kernels.has("winograd", dtype):
        pytest.skip(f"this processor has no kernel for {dtype}")
    for channels in (32, 96):
        x, weight, bias = example((9, channels, channels, 21, 16))
        x = x.detach().to(dtype)
        out = convolve(kernels, x, weight, bias)
        given = torch.ones_like(out)
        (found,) = torch.autograd.grad(out, weight, given)
        exact = weight.detach().double().requires_grad_()
        truth = functional.conv2d(x.double(), exact, padding=1)
        (wanted,) = torch.autograd.grad(truth, exact, given.double())
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_an_image_does_not_depend_on_the_batch(kernels: Kernels) -> None:
    x, weight, bias = example((5, 32, 48, 9, 14))
    together = convolve(kernels, x, weight, bias)
    alone = torch.cat([convolve(kernels, x[i : i + 1], weight, bias) for i in range(5)])
    assert torch.equal(together, alone)


def test_not_finite_stays_not_finite(kernels: Kernels) -> None:
    x, weight, bias = example((1, 16, 16, 9, 9))
    with torch.no_grad():
        x[0, 3, 4, 4] = torch.inf
        out = convolve(kernels, x, weight, bias)
    assert not out[0, :, 4, 4].isfinite().any()
    assert out[0, :, 0, 0].isfinite().all()


def test_where_it_is_used(kernels: Kernels) -> None:
    conv = Conv3x3(48, 32).to(memory_format=torch.channels_last)
    conv.kernels = kernels
    x = torch.randn(4, 48, 6, 5).contiguous(memory_format=torch.channels_last)
    assert is_suited(kernels, x, conv.weight)
    assert type(conv(x).grad_fn).__name__ == "_WinogradBackward"
    assert not is_suited(kernels, x.contiguous(), conv.weight)
    assert not is_suited(kernels, x, conv.weight.contiguous())
    assert not is_suited(kernels, x[:3], conv.weight)
    for width_in, width_out in ((48, 16), (48, 40), (40, 32)):
        other = Conv3x3(width_in, width_out).to(memory_format=torch.channels_last)
        few = x[:, :width_in].contiguous(memory_format=torch.channels_last)
        assert not is_suited(kernels, few, other.weight)
    wide = Conv3x3(64, 64).to(memory_format=torch.channels_last)
    wide.kernels = kernels
    x = torch.randn(4, 64, 6, 5).contiguous(memory_format=torch.channels_last)
    there = kernels.has("winograd", torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert is_suited(kernels, x, wide.weight) == there
        assert wide(x).dtype == torch.bfloat16
        assert not is_suited(
            kernels, x[:, :48].contiguous(memory_format=torch.channels_last), conv.weight
        )
    with torch.autocast("cpu", torch.float16):
        assert not is_suited(kernels, x, wide.weight)

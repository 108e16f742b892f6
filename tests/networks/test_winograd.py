"""Winograd's convolution against the plain sum in double precision."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nkca.networks.layers import Conv3x3
from nkca.networks.winograd import convolve, is_suited

pytestmark = pytest.mark.usefixtures("kernels")
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


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_value_and_gradients(sizes: Sizes, threads: int) -> None:
    inputs = example(sizes)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        out = convolve(*inputs)
        assert out.is_contiguous(memory_format=torch.channels_last)
        given = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        found = [out, *torch.autograd.grad(out, inputs, given)]
    finally:
        torch.set_num_threads(before)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    truth = functional.conv2d(exact[0], exact[1], exact[2], padding=1)
    wanted = [truth, *torch.autograd.grad(truth, exact, given.double())]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 3e-6 * theirs.abs().max()


def test_an_image_does_not_depend_on_the_batch() -> None:
    x, weight, bias = example((5, 32, 48, 9, 14))
    together = convolve(x, weight, bias)
    alone = torch.cat([convolve(x[i : i + 1], weight, bias) for i in range(5)])
    assert torch.equal(together, alone)


def test_the_gradient_does_not_depend_on_threads() -> None:
    inputs = example((9, 32, 48, 12, 14))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(torch.autograd.grad(convolve(*inputs).square().sum(), inputs[:2]))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)


def test_not_finite_stays_not_finite() -> None:
    x, weight, bias = example((1, 16, 16, 9, 9))
    with torch.no_grad():
        x[0, 3, 4, 4] = torch.inf
        out = convolve(x, weight, bias)
    assert not out[0, :, 4, 4].isfinite().any()
    assert out[0, :, 0, 0].isfinite().all()


def test_where_it_is_used() -> None:
    conv = Conv3x3(48, 32).to(memory_format=torch.channels_last)
    x = torch.randn(4, 48, 6, 5).contiguous(memory_format=torch.channels_last)
    assert is_suited(x, conv.weight)
    assert type(conv(x).grad_fn).__name__ == "_WinogradBackward"
    assert not is_suited(x.contiguous(), conv.weight)
    assert not is_suited(x, conv.weight.contiguous())
    assert not is_suited(x.bfloat16(), conv.weight)
    assert not is_suited(x[:3], conv.weight)
    for width_in, width_out in ((48, 16), (48, 40), (40, 32)):
        other = Conv3x3(width_in, width_out).to(memory_format=torch.channels_last)
        few = x[:, :width_in].contiguous(memory_format=torch.channels_last)
        assert not is_suited(few, other.weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_suited(x, conv.weight)

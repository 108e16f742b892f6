"""The compiled kernel against GroupNorm and Mish in double precision."""

import itertools

import pytest
import torch
from tables import each
from torch import Tensor, nn
from torch.nn import functional

from nkca.networks.cpu.norm_mish import norm_mish

pytestmark = pytest.mark.usefixtures("_kernels")

SHAPES = [  # fewer images than threads, more; odd sizes; more rows than a block of sums
    (2, 8, 1, 1),
    (1, 16, 5, 3),
    (2, 32, 28, 28),
    (7, 24, 9, 8),
    (1, 64, 40, 33),
    (3, 8, 1, 65),
]


def layer(channels: int) -> nn.GroupNorm:
    """GroupNorm with weights of no particular kind."""
    norm = nn.GroupNorm(8, channels)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        norm.weight.normal_(1, 0.5, generator=generator)
        norm.bias.normal_(0, 2, generator=generator)
    return norm


def images(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Channels last, with a mean far from zero."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2 + 3
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def expected(x: Tensor, norm: nn.GroupNorm, shift: Tensor | None, given: Tensor) -> list[Tensor]:
    """The value, then the gradients of x, weight, bias and shift, in double precision."""
    inputs = [t.detach().double().requires_grad_() for t in (x, norm.weight, norm.bias)]
    out = functional.mish(functional.group_norm(inputs[0], 8, inputs[1], inputs[2], norm.eps))
    if shift is not None:
        inputs.append(shift.detach().double().requires_grad_())
        out = out + inputs[-1]
    return [out.detach(), *torch.autograd.grad(out, inputs, given.double())]


BY_THE_KERNEL = "GeneratedBackwardFor_nkca_norm_mish_defaultBackward"
PRECISIONS = [(torch.float32, 2e-6), (torch.bfloat16, 1e-2)]


@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
def test_value_and_gradients(dtype: torch.dtype, bound: float) -> None:
    for shape, shifted in each(itertools.product(SHAPES, [False, True])):
        norm, x, given = layer(shape[1]), images(shape, dtype), images(shape, dtype, seed=2)
        shift = images((shape[0], shape[1], 1, 1), dtype, seed=3) if shifted else None
        # of 1 x 1 pixels: groups of one number or few, 1 / deviation is up to 300
        tolerance = bound * 50 if shape[2:] == (1, 1) else bound
        inputs = [t.requires_grad_() for t in (x, norm.weight, norm.bias, shift) if t is not None]
        out = norm_mish(x, norm, shift)
        assert out.grad_fn is not None
        assert type(out.grad_fn).__name__ == BY_THE_KERNEL
        assert out.dtype == dtype
        assert out.is_contiguous(memory_format=torch.channels_last)
        found = [out, *torch.autograd.grad(out, inputs, given)]
        for ours, theirs in zip(found, expected(x, norm, shift, given), strict=True):
            assert ours.shape == theirs.shape
            assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max().clamp(min=1)


@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
@pytest.mark.parametrize("at_once", [True, False])
def test_gate_and_skip(dtype: torch.dtype, bound: float, at_once: bool) -> None:
    for shape in each(SHAPES):
        norm, x, given = layer(shape[1]), images(shape, dtype), images(shape, dtype, seed=2)
        gate, skip = images((1, shape[1], 1, 1), seed=3), images(shape, dtype, seed=4)
        skip = skip if at_once else skip.double()
        tolerance = bound * 500 if shape[2:] == (1, 1) else bound
        inputs = [t.requires_grad_() for t in (x, norm.weight, norm.bias, gate, skip)]
        out = norm_mish(x, norm, residual=(gate, skip))
        assert (type(out.grad_fn).__name__ == BY_THE_KERNEL) == at_once
        exact = [t.detach().double().requires_grad_() for t in inputs]
        normed = functional.group_norm(exact[0], 8, exact[1], exact[2], norm.eps)
        truth = exact[3] * functional.mish(normed) + exact[4]
        found = [out, *torch.autograd.grad(out, inputs, given.to(out.dtype))]
        wanted = [truth, *torch.autograd.grad(truth, exact, given.double())]
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours.shape == theirs.shape
            assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max().clamp(min=1)


def test_extremes_are_exact_and_nan_stays_nan() -> None:
    norm = nn.GroupNorm(8, 8)
    x = torch.full((1, 8, 2, 2), 4.0).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([-200, -88, -20, -1e-3, 0, 1e-3, 25, 1e4]))
    out = norm_mish(x, norm)[0, :, 0, 0]
    truth = functional.mish(norm.bias.double())
    torch.testing.assert_close(out.double(), truth, rtol=3e-7, atol=1e-30)
    x[0, 3, 0, 0] = torch.nan
    broken = norm_mish(x, norm)
    assert broken[0, 3].isnan().all()
    assert not broken[0, :3].isnan().any()


def test_an_image_does_not_depend_on_the_batch() -> None:
    norm, x = layer(16), images((5, 16, 20, 21))
    together = norm_mish(x, norm)
    alone = torch.cat([norm_mish(x[i : i + 1], norm) for i in range(5)])
    assert torch.equal(together, alone)


def test_other_layouts_and_dtypes_are_pytorchs() -> None:
    norm = layer(16)
    for x in (images((2, 16, 6, 6)).contiguous(), images((2, 16, 6, 6), torch.float64)):
        norm = norm.to(x.dtype)
        shift = torch.ones(2, 16, 1, 1, dtype=x.dtype)
        torch.testing.assert_close(
            norm_mish(x, norm, shift).double(),
            expected(x, norm, shift, x)[0],
            rtol=1e-5,
            atol=1e-5,
        )


def test_autocast_gives_bfloat16() -> None:
    norm, conv = layer(16), nn.Conv2d(4, 16, 3, padding=1).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out = norm_mish(conv(images((2, 4, 6, 6))), norm)
    assert out.dtype == torch.bfloat16


def test_shifts_of_any_strides_and_weights_of_other_dtypes() -> None:
    norm, x = layer(16), images((2, 16, 6, 6))
    for shift in (torch.tensor(0.5).expand(2, 16, 1, 1), torch.randn(2, 32, 1, 1)[:, ::2]):
        truth = expected(x, norm, shift, x)[0]
        out = norm_mish(x, norm, shift)
        torch.testing.assert_close(out.double(), truth, rtol=1e-5, atol=1e-5)
    half, x = layer(16).bfloat16(), x.bfloat16()
    truth = expected(x, half, None, x)[0]
    torch.testing.assert_close(norm_mish(x, half).double(), truth, rtol=2e-2, atol=5e-2)

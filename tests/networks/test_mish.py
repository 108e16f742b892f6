"""Mish by sigmoids: the same function as PyTorch's, gradients too."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nkca.networks import mish as module
from nkca.networks.mish import mish


def exact(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mish and its derivative in float64, by PyTorch."""
    wide = x.detach().double().requires_grad_()
    out = functional.mish(wide)
    (slope,) = torch.autograd.grad(out.sum(), wide)
    return out.detach(), slope


@pytest.mark.parametrize("low", [1e-3, 1.0, 20.0, 90.0, 1e4])
def test_values_and_slopes(low: float) -> None:
    x = torch.linspace(-low, low, 40_000).reshape(8, 5, 1000).requires_grad_()
    value, slope = exact(x)
    out = mish(x)
    (found,) = torch.autograd.grad(out.sum(), x)
    assert out.grad_fn is not None
    assert "_Mish" in type(out.grad_fn).__name__, "not PyTorch's own"
    scale = value.abs().clamp(min=1e-30)
    normal = value.abs() > 1e-30  # below it float32 has no full precision
    assert ((out.double() - value).abs() / scale)[normal].max() < 2e-6
    assert (found.double() - slope).abs().max() < 4e-6


@pytest.mark.parametrize("block", [1, 1000, 1 << 20])
def test_blocks_and_layouts_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(7, 6, 11, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    monkeypatch.setattr(module, "BLOCK", block)
    for layout in (torch.contiguous_format, torch.channels_last):
        y = x.to(memory_format=layout).requires_grad_()
        out = mish(y)
        assert out.is_contiguous(memory_format=layout)
        weight = torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape) / x.numel()
        (found,) = torch.autograd.grad(out, y, weight)
        value, slope = exact(x)
        assert torch.allclose(out, value, rtol=1e-13, atol=1e-15)
        assert torch.allclose(found, weight * slope, rtol=1e-13, atol=1e-15)


def test_what_it_is_not_for_goes_to_pytorch() -> None:
    for x in (
        torch.randn(3, 4),
        torch.randn(()),
        torch.randn(64, 100).bfloat16(),
        torch.empty(0, 3),
    ):
        out = mish(x)
        assert out.dtype == x.dtype
        assert torch.equal(out, functional.mish(x))

"""Linear attention by the kernel against PyTorch's operations in double precision."""

import pytest
import torch
from torch import Tensor

from nkca.networks.attention import linear_attention
from nkca.networks.cpu.library import Kernels

SHAPES = [
    (1, 1, 1),
    (3, 5, 3),
    (2, 8, 8),
    (1, 13, 21),
    (5, 28, 28),
]  # also rows that FEW does not divide


def example(batch: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Queries, keys and values, channels last."""
    generator = torch.Generator().manual_seed(0)
    qkv = 3 * torch.randn(batch, 384, height, width, generator=generator)
    return qkv.to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.bfloat16, 1e-2)])
def test_value_and_gradient(
    kernels: Kernels, shape: tuple[int, int, int], dtype: torch.dtype, tolerance: float
) -> None:
    qkv = example(*shape, dtype).requires_grad_()
    out = linear_attention(qkv, kernels)
    assert type(out.grad_fn).__name__ == "_LinearAttentionBackward"
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    exact = qkv.detach().double().requires_grad_()
    truth = linear_attention(exact, kernels)
    given = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    (found,) = torch.autograd.grad(out, qkv, given)
    (wanted,) = torch.autograd.grad(truth, exact, given.double())
    assert out.shape == truth.shape
    assert (out - truth).abs().max() <= tolerance * truth.abs().max()
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def test_large_keys_do_not_overflow_and_nan_stays_nan(kernels: Kernels) -> None:
    qkv = example(1, 6, 7)
    qkv[:, 128:256] *= 1e4
    out = linear_attention(qkv, kernels)
    torch.testing.assert_close(
        out.double(), linear_attention(qkv.double(), kernels), rtol=1e-4, atol=1e-5
    )
    qkv[0, 128, 3, 3] = torch.nan
    broken = linear_attention(qkv, kernels)
    assert broken[0, :32].isnan().all()
    assert not broken[0, 32:].isnan().any()


def test_an_image_does_not_depend_on_the_batch(kernels: Kernels) -> None:
    qkv = example(5, 9, 11)
    alone = torch.cat([linear_attention(qkv[i : i + 1], kernels) for i in range(5)])
    assert torch.equal(linear_attention(qkv, kernels), alone)

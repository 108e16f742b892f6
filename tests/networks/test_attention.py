"""Linear attention in the precisions that networks use, against double precision."""

import pytest
import torch
from torch import Tensor

from nkca.networks.attention import linear_attention

SHAPES = [(1, 1, 1), (3, 5, 3), (2, 8, 8), (1, 13, 21), (5, 28, 28)]


def example(batch: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Queries, keys and values, channels last."""
    generator = torch.Generator().manual_seed(0)
    qkv = 3 * torch.randn(batch, 384, height, width, generator=generator)
    return qkv.to(dtype).contiguous(memory_format=torch.channels_last)


def written_out(qkv: Tensor) -> Tensor:
    """Head by head, as docs/method.md says it."""
    out = []
    for image in qkv.flatten(2):
        for q, k, v in zip(*(part.split(32) for part in image.split(128)), strict=True):
            context = k.softmax(1) @ v.T
            out.append(context.T @ q)
    return torch.stack(out).reshape(len(qkv), 128, *qkv.shape[2:])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.bfloat16, 2e-2)])
def test_value_and_gradient(
    layout: torch.memory_format, shape: tuple[int, int, int], dtype: torch.dtype, tolerance: float
) -> None:
    qkv = example(*shape, dtype).contiguous(memory_format=layout).requires_grad_()
    out = linear_attention(qkv)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=layout)
    exact = qkv.detach().double().requires_grad_()
    truth = written_out(exact)
    given = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    (found,) = torch.autograd.grad(out, qkv, given)
    (wanted,) = torch.autograd.grad(truth, exact, given.double())
    assert out.shape == truth.shape
    assert (out - truth).abs().max() <= tolerance * truth.abs().max()
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def test_large_keys_do_not_overflow_and_nan_stays_nan() -> None:
    qkv = example(1, 6, 7)
    qkv[:, 128:256] *= 1e4
    out = linear_attention(qkv)
    torch.testing.assert_close(out.double(), written_out(qkv.double()), rtol=1e-4, atol=1e-5)
    qkv[0, 128, 3, 3] = torch.nan
    broken = linear_attention(qkv)
    assert broken[0, :32].isnan().all()
    assert not broken[0, 32:].isnan().any()

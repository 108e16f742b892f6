"""The product against the convolution."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nkca.networks.layers import Conv3x3
from nkca.networks.small_maps import convolve, is_suited


def example(batch: int, channels: int, height: int, width: int, out: int) -> list[Tensor]:
    """x, weight and bias, channels last, that want gradients."""
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(batch, channels, height, width, generator=generator),
        torch.randn(out, channels, 3, 3, generator=generator) / channels**0.5,
    ]
    tensors = [t.contiguous(memory_format=torch.channels_last) for t in tensors]
    tensors.append(torch.randn(out, generator=generator))
    return [t.requires_grad_() for t in tensors]


@pytest.mark.parametrize("sizes", [(3, 16, 4, 4, 24), (1, 8, 2, 3, 8), (2, 5, 1, 4, 7)])
@pytest.mark.parametrize("half", [False, True])
def test_value_and_gradients(sizes: tuple[int, int, int, int, int], half: bool) -> None:
    inputs = example(*sizes)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        out = convolve(*inputs)
    assert out.dtype == (torch.bfloat16 if half else torch.float32)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    truth = functional.conv2d(exact[0], exact[1], exact[2], padding=1)
    given = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    found = [out, *torch.autograd.grad(out, inputs, given.to(out.dtype))]
    wanted = [truth, *torch.autograd.grad(truth, exact, given.double())]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= (2e-2 if half else 2e-6) * theirs.abs().max()


def test_where_it_is_used() -> None:
    conv = Conv3x3(512, 1024).to(memory_format=torch.channels_last)
    x = torch.zeros(1, 512, 4, 4).contiguous(memory_format=torch.channels_last)
    assert not is_suited(x, conv.weight)  # in float32 there is Winograd's way
    assert is_suited(x.bfloat16(), conv.weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert is_suited(x, conv.weight)
        assert not is_suited(x.contiguous(), conv.weight)
        assert not is_suited(x.repeat(1, 1, 2, 1), conv.weight)
        assert not is_suited(x[:, :64], conv.weight[:64])
        assert not is_suited(x[:, :, :1, :1], conv.weight)


def test_the_layer_gives_the_same_either_way() -> None:
    conv = Conv3x3(512, 1024).to(memory_format=torch.channels_last)
    x = torch.randn(2, 512, 4, 4, generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", torch.bfloat16):
        small = conv(x.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(small, conv(x), rtol=2e-2, atol=2e-2)

"""The U-Net: shapes, parameters counted by hand, gates, the level embedding."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from tables import each
from torch import Tensor, nn

from nkca.networks.layers import (
    EmbeddingBlock,
    LevelEmbedding,
    LinearAttention,
    Residual,
    SinusoidalEmbedding,
    initialise,
)
from nkca.networks.unet import Stage, UNet

H = 8


def started(module: nn.Module, seed: int = 0, gates: bool = False) -> nn.Module:
    """With starting weights; ``gates``: those of residuals are not zero."""
    generator = torch.Generator().manual_seed(seed)
    initialise(module, generator)
    for layer in module.modules() if gates else ():
        if isinstance(layer, Residual):
            nn.init.normal_(layer.gate, generator=generator)
    return module.requires_grad_(False)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_any_number_of_levels_and_any_shape() -> None:
    levels: list[tuple[int, ...]] = [(1,), (1, 2), (2, 1, 3), (1, 2, 2, 4)]
    for dim_mults, size in each(itertools.product(levels, [(8, 8), (8, 24)])):
        unet = started(UNet(H, dim_mults), gates=True)
        x = torch.randn(2, H, *size, generator=torch.Generator().manual_seed(1))
        e = torch.randn(2, H, 1, 1, generator=torch.Generator().manual_seed(2))
        out = unet(x, e)
        assert out.shape == x.shape
        assert out.isfinite().all()
        assert not torch.allclose(unet(x, -e), out)  # it listens to the level
        assert torch.allclose(unet(x[1:], e[1:]), out[1:], atol=1e-4)  # images do not mix


def test_every_pixel_depends_on_every_other() -> None:
    unet = started(UNet(H, (1, 2)), gates=True)
    e = torch.zeros(1, H, 1, 1)
    x = torch.randn(1, H, 8, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    unet(x, e)[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("module", [EmbeddingBlock(H, H, H), LinearAttention(H)])
def test_a_gate_of_zero_makes_a_block_its_skip(module: nn.Module) -> None:
    embedding = (torch.ones(1, H, 1, 1),) if isinstance(module, EmbeddingBlock) else ()
    x = torch.randn(1, H, 4, 4, generator=torch.Generator().manual_seed(1))
    residual = started(Residual(module, H, H))
    assert torch.equal(residual(x, *embedding), x)
    gate = residual.gate
    assert isinstance(gate, Tensor)
    gate[:, 3] = 0.5  # a gate for each channel
    out = residual(x, *embedding)
    changed = (out != x).flatten(2).any(2).flatten()
    assert changed.tolist() == [channel == 3 for channel in range(H)]
    f = module(x, *embedding)
    assert torch.allclose(out[:, 3], x[:, 3] + 0.5 * f[:, 3], atol=1e-6)


def test_the_skip_is_a_convolution_only_where_widths_differ() -> None:
    stage = Stage(8, 16, 8)
    assert isinstance(stage.block1.skip, nn.Conv2d)
    assert isinstance(stage.attention.skip, nn.Identity)
    assert isinstance(stage.block2.skip, nn.Identity)
    started(stage)
    x, e = torch.randn(1, 8, 4, 4), torch.randn(1, 8, 1, 1)
    assert torch.equal(stage(x, e), stage.block1.skip(x))  # all gates start at zero


def test_linear_attention_by_loops() -> None:
    attention = started(LinearAttention(H))
    assert isinstance(attention, LinearAttention)
    x = torch.randn(1, H, 2, 3, generator=torch.Generator().manual_seed(1))
    qkv = attention.qkv(x).flatten(2)[0]
    mixed = torch.empty(128, 6)
    for head in range(4):
        q, k, v = (qkv[part * 128 + head * 32 :][:32] for part in range(3))
        weights = k.exp() / k.exp().sum(1, keepdim=True)
        for d in range(32):
            for position in range(6):
                context = [(weights[j] * v[d]).sum() for j in range(32)]
                mixed[head * 32 + d, position] = sum(
                    c * q[j, position] for j, c in enumerate(context)
                )
            if d == 1:
                break  # two channels of each head are enough
    weight = attention.out.weight[:, :, 0, 0]
    rows = [head * 32 + d for head in range(4) for d in range(2)]
    captured: list[Tensor] = []
    attention.out.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    out = attention(x)
    assert torch.allclose(captured[0].flatten(2)[0][rows], mixed[rows], atol=1e-5)
    assert attention.out.bias is not None
    projected = weight @ captured[0].flatten(2)[0] + attention.out.bias[:, None]
    normed = attention.norm(projected.view(1, H, 2, 3))
    assert torch.allclose(out, normed * torch.tanh(nn.functional.softplus(normed)), atol=1e-5)


def test_sinusoids_by_hand() -> None:
    out = SinusoidalEmbedding(6)(torch.tensor([0.0, 2.0]))
    frequencies = [1.0, 0.01, 0.0001]  # exp(-ln(10000) i / 2)
    by_hand = [math.sin(2 * f) for f in frequencies] + [math.cos(2 * f) for f in frequencies]
    assert out[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.allclose(out[1], torch.tensor(by_hand), atol=1e-6)


def test_the_level_embedding_stays_one_by_one() -> None:
    """A larger one would compute the same for every pixel, many times."""
    shapes: list[tuple[int, ...]] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
        shapes.append(tuple(inputs[0].shape))

    unet = started(UNet(H, (1, 2)))
    blocks = [m for m in unet.modules() if isinstance(m, EmbeddingBlock)]
    for block in blocks:
        block.embedding.register_forward_hook(note)
    embedding = started(LevelEmbedding(H))(torch.tensor([1.0, 2.0]))
    assert embedding.shape == (2, H, 1, 1)
    unet(torch.zeros(2, H, 8, 12), embedding)
    assert len(shapes) == len(blocks) == 10  # two in each of the five stages
    assert set(shapes) == {(2, H, 1, 1)}


def conv(i: int, o: int, side: int) -> int:
    return i * o * side * side + o


def stage_by_hand(i: int, o: int, h: int) -> int:
    """Two gated embedding blocks and attention; see docs/method.md, The denoiser."""

    def block(i: int, o: int) -> int:
        embedding_block = conv(i, o, 3) + 2 * o + conv(h, o, 1) + conv(o, o, 3) + 2 * o
        return embedding_block + o + (conv(i, o, 1) if i != o else 0)

    attention = o * 3 * 128 + conv(128, o, 1) + 2 * o + o
    return block(i, o) + attention + block(o, o)


def unet_by_hand(h: int, mults: tuple[int, ...]) -> int:
    widths = [h, *(h * m for m in mults)]
    total = stage_by_hand(widths[-1], widths[-1], h)
    for above, below in itertools.pairwise(widths):
        total += stage_by_hand(above, below, h) + stage_by_hand(2 * below, above, h)
    return total + sum(conv(d, d, 3) + conv(d, d, 4) for d in widths[1:-1])


def test_parameters_are_those_of_the_formula() -> None:
    sizes: list[tuple[int, tuple[int, ...]]] = [
        (8, (1,)), (8, (1, 2)), (16, (2, 1, 3)), (8, (1, 1, 2, 2))
    ]  # fmt: skip
    for h, mults in each(sizes):
        assert count(UNet(h, mults)) == unet_by_hand(h, mults)


def test_the_formula_gives_the_counts_of_the_original() -> None:
    """603,174 and 604,286 are `num_parameters` of the parity files (h 32, [1, 2], 3 channels)."""
    h = 32
    trunk = unet_by_hand(h, (1, 2)) + 2 * (h * h + h) + conv(h, h, 3) + 2 * h
    assert trunk + conv(3, h, 1) + conv(h, 6, 1) == 603_174
    assert trunk + 11 * h + 3 * h + conv(h, 30, 1) == 604_286


def test_starting_weights_depend_on_the_generator_alone() -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(len(str(seed)) + torch.initial_seed() % 7)
        return dict(started(UNet(H, (1, 2)), seed).state_dict())

    state = torch.get_rng_state()
    try:
        one, again, other = weights(1), weights(1), weights(22)
    finally:
        torch.set_rng_state(state)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("layer", "bound"),
    [
        (lambda: nn.Conv2d(12, 64, 3), 1 / math.sqrt(12 * 9)),
        (lambda: nn.ConvTranspose2d(64, 12, 4), 1 / math.sqrt(12 * 16)),
        (lambda: nn.Linear(50, 64), 1 / math.sqrt(50)),
    ],
)
def test_starting_laws_are_those_of_pytorch(layer: Callable[[], nn.Module], bound: float) -> None:
    """Uniform within 1 / sqrt(fan in), weights and biases alike."""
    module = started(layer())
    for tensor in (module.weight, module.bias):
        assert isinstance(tensor, Tensor)
        assert 0.7 * bound < tensor.abs().max() <= bound
        assert abs(tensor.mean().item()) < 5 * bound / math.sqrt(3 * tensor.numel())


def test_a_layer_without_a_starting_rule_is_refused() -> None:
    with pytest.raises(TypeError, match="no rule for the initial weights of PReLU"):
        initialise(nn.Sequential(nn.PReLU()), torch.Generator())

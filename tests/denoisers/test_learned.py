"""The three denoisers: shapes, what they compute at known weights, starting weights, image sizes."""

import dataclasses
import math

import pytest
import torch
from tables import each
from torch import Tensor, nn

from nkca.config.schema import ModelConfig
from nkca.denoisers.learned import (
    CategoricalDenoiser,
    ContinuousDenoiser,
    PreconditionedDenoiser,
)
from nkca.distributions.categorical import Categorical
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.models.build import ModelSpec, build_denoiser, check_size, new_denoiser
from nkca.networks.layers import Residual

KINDS = {
    "paper": ModelConfig(hidden_size=8, dim_mults=(1, 2)),
    "preconditioned": ModelConfig(
        hidden_size=8, dim_mults=(1, 2), parametrisation="preconditioned"
    ),
    "categorical": ModelConfig(hidden_size=8, dim_mults=(1, 2), discrete=True, num_classes=5),
}


def make(kind: str, shape: tuple[int, int, int] = (3, 4, 8), seed: int = 0) -> nn.Module:
    """A network whose gates are not zero, so that all of it counts."""
    network = new_denoiser(ModelSpec(KINDS[kind], shape, 0.5), seed).requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, Residual):
            nn.init.normal_(layer.gate, generator=torch.Generator().manual_seed(seed))
    return network


def state(kind: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if kind == "categorical":
        return torch.randint(6, shape, generator=generator)
    return torch.randn(shape, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind: str) -> None:
    for channels, *dim_mults in each([(1, 1), (3, 1, 2), (4, 1, 1, 2), (3, 1, 2, 1, 1)]):
        config = dataclasses.replace(KINDS[kind], dim_mults=tuple(dim_mults))
        network = new_denoiser(ModelSpec(config, (channels, 8, 16), 0.5), 0)
        x = state(kind, (2, channels, 8, 16))
        p_z = network(x, torch.tensor([0.01, 1.0]))
        if kind == "categorical":
            assert isinstance(p_z, Categorical)
            assert p_z.log_probs.shape == (2, channels, 8, 16, 5)
            assert (p_z.log_probs.exp().sum(-1) - 1).abs().max() < 1e-5
            assert p_z.mode().dtype == torch.int64
        else:
            assert isinstance(p_z, Normal)
            assert p_z.mean.shape == p_z.std.shape == x.shape
            assert (p_z.std > 0).all()
            assert p_z.mean.dtype == p_z.std.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_depends_on_the_level_and_every_channel(kind: str) -> None:
    network = make(kind)
    x = state(kind, (1, 3, 4, 8))
    level = torch.tensor([0.3])

    def flat(x: Tensor, level: Tensor) -> Tensor:
        p_z = network(x, level)
        return torch.as_tensor(p_z.log_probs if kind == "categorical" else p_z.mean)

    base = flat(x, level)
    assert not torch.allclose(flat(x, level + 0.1), base, atol=1e-5)
    for channel in range(3):
        other = x.clone()
        other[:, channel, 1, 5] = (other[:, channel, 1, 5] + 1) % 6
        assert not torch.allclose(flat(other, level), base, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_starting_weights_depend_on_the_seed_alone(kind: str) -> None:
    spec = ModelSpec(KINDS[kind], (3, 4, 8), 0.5)
    before = torch.get_rng_state()
    one, again, other = (new_denoiser(spec, seed).state_dict() for seed in (1, 1, 2))
    build_denoiser(spec)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert all(tensor.device.type == "cpu" for tensor in one.values())
    gates = [tensor for name, tensor in one.items() if name.endswith("gate")]
    assert len(gates) == 15
    assert all((gate == 0).all() for gate in gates)
    assert all(tensor.isfinite().all() for tensor in one.values())


# The head at weights that are known


def with_head(network: nn.Module, bias: Tensor) -> None:
    """Let the trunk give ``bias`` (outputs,) everywhere."""
    output = network.get_submodule("trunk.output")
    assert isinstance(output, nn.Conv2d)
    assert output.bias is not None
    nn.init.zeros_(output.weight)
    output.bias.copy_(bias)


def test_paper_even_outputs_are_means_and_odd_ones_standard_deviations() -> None:
    network = make("paper")
    assert isinstance(network, ContinuousDenoiser)
    with_head(network, torch.tensor([1.0, 0.0, 2.0, -1.0, 3.0, 5.0]))
    p_z = network(state("paper", (1, 3, 4, 8)), torch.tensor([0.5]))
    assert p_z.mean[0, :, 2, 3].tolist() == [1, 2, 3]
    softplus = [math.log1p(math.exp(v)) for v in (0, -1, 5)]
    assert p_z.std[0, :, 2, 3].tolist() == pytest.approx(softplus, abs=1e-6)


def test_categorical_logits_are_channel_major() -> None:
    network = make("categorical")
    assert isinstance(network, CategoricalDenoiser)
    logits = torch.randn(15, generator=torch.Generator().manual_seed(1))
    with_head(network, logits)
    p_z = network(state("categorical", (1, 3, 4, 8)), torch.tensor([0.5]))
    by_hand = logits.view(3, 5).log_softmax(-1)
    assert torch.allclose(p_z.log_probs[0, :, 1, 6], by_hand, atol=1e-6)


def test_categorical_input_is_the_sum_of_products_of_embeddings() -> None:
    network = make("categorical")
    seen: list[Tensor] = []
    network.get_submodule("trunk").register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = state("categorical", (2, 3, 4, 8))
    assert x.max() == 5  # the scrambled class has an embedding too
    network(x, torch.tensor([0.5, 0.6]))
    classes = network.get_parameter("class_embedding.weight")
    channels = network.get_parameter("channel_embedding.weight")
    by_hand = torch.zeros(2, 8, 4, 8)
    for channel in range(3):
        by_hand += (classes[x[:, channel]] * channels[channel]).movedim(-1, 1)
    assert torch.allclose(seen[0], by_hand, atol=1e-5)


def test_preconditioned_starts_at_the_linear_least_squares_estimate() -> None:
    """At a network output of 0: for x = a z + N(0, b) and Var z = sd², by the normal equations."""
    network = make("preconditioned")
    assert isinstance(network, PreconditionedDenoiser)
    with_head(network, torch.zeros(6))
    x = state("preconditioned", (1, 3, 4, 8))
    for b in each([1e-7, 0.01, 0.3, 1.0]):
        p_z = network(x, torch.tensor([b]))
        a, sd = 1 - b, 0.5
        covariance, variance = a * sd**2, a**2 * sd**2 + b
        assert torch.allclose(p_z.mean, x * covariance / variance, atol=1e-6)
        error = math.sqrt(sd**2 - covariance**2 / variance)
        assert torch.allclose(p_z.std, torch.tensor(0.5 * error), rtol=2e-3 if b < 1e-6 else 1e-5)
        if b == 1:
            assert (p_z.mean == 0).all()


def test_preconditioned_output_is_a_correction_in_units_of_the_error() -> None:
    network = make("preconditioned")
    x, level = state("preconditioned", (1, 3, 4, 8)), torch.tensor([0.36])
    with_head(network, torch.zeros(6))
    base = network(x, level).mean
    with_head(network, torch.tensor([1.0, 0.0] * 3))
    a, sd, b = 0.64, 0.5, 0.36
    c_out = sd * math.sqrt(b / (a**2 * sd**2 + b))
    assert torch.allclose(network(x, level).mean - base, torch.tensor(c_out), atol=1e-6)


def test_preconditioned_std_starts_near_half_the_linear_error() -> None:
    for seed in each(range(3)):
        network = new_denoiser(ModelSpec(KINDS["preconditioned"], (3, 4, 8), 0.5), seed)
        b = torch.tensor([0.02, 0.3, 0.9])
        c_out = 0.5 * (b / ((1 - b) ** 2 * 0.25 + b)).sqrt().view(3, 1, 1, 1)
        x = ((1 - b) * 0.5 + b.sqrt()).view(3, 1, 1, 1) * state("paper", (3, 3, 4, 8))
        factor = network(x, b).std / c_out
        assert 0.05 < factor.min() < factor.max() < 2.5
        assert 0.4 < factor.mean() < 0.65


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_finite_at_the_extreme_levels(kind: str) -> None:
    for b in each([1.0, 1e-7]):
        network = make(kind).requires_grad_(True)
        x = state(kind, (1, 3, 4, 8))
        if b == 1 and kind == "categorical":
            x = torch.full_like(x, 5)
        p_z = network(x, torch.tensor([b]))
        z = p_z.mode()
        assert z.double().isfinite().all()
        p_z.log_prob(z.detach()).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


# Sizes


def test_sizes_that_halve_are_accepted() -> None:
    for height, width in each([(8, 8), (16, 8), (8, 24)]):
        check_size(ModelConfig(dim_mults=(1, 1, 1, 1)), height, width)
        check_size(ModelConfig(dim_mults=(1, 1, 1), patch_size=2), height, width)
        with pytest.raises(InputError):
            check_size(ModelConfig(dim_mults=(1, 1, 1, 1)), height - 8 + 1, width)


NEAREST: list[tuple[tuple[int, ...], int, int, str]] = [
    ((1, 2, 4, 8), 28, 28, "resize=24, resize=32"),
    ((1, 2), 7, 9, "resize=6x8, resize=8x10"),
    ((1, 2, 4), 2, 2, "resize=4"),
    ((1, 2, 4), 30, 32, "resize=28x32, resize=32"),
]


def test_a_size_that_does_not_halve_names_the_nearest_that_do() -> None:
    for mults, height, width, nearest in each(NEAREST):
        config = dataclasses.replace(KINDS["paper"], dim_mults=mults)
        with pytest.raises(InputError) as caught:
            build_denoiser(ModelSpec(config, (3, height, width), 1.0))
        message = str(caught.value)
        assert message.endswith(f"nearest: {nearest}")
        assert f"{height}x{width}" in message
        assert str(list(mults)) in message
        assert "\n" not in message


# Patches


@pytest.mark.parametrize("kind", KINDS)
def test_patches_give_p_z_of_every_pixel_and_see_each_patch_by_itself(kind: str) -> None:
    """Two levels less of the U-Net: a patch of 2 is one position, told apart by the input layer."""
    config = dataclasses.replace(KINDS[kind], patch_size=2)
    network = new_denoiser(ModelSpec(config, (3, 8, 12), 0.5), seed=3).requires_grad_(False)
    x = state(kind, (2, 3, 8, 12))
    p_z = network(x, torch.tensor([0.3, 0.6]))
    assert p_z.mode().shape == x.shape
    changed = x.clone()
    changed[:, :, 5, 7] = (changed[:, :, 5, 7] + 1) % 4
    mean, moved = p_z.mean, network(changed, torch.tensor([0.3, 0.6])).mean
    assert not torch.equal(moved, mean)
    assert not torch.equal(
        mean[..., 0::2, 0::2], mean[..., 1::2, 1::2]
    )  # pixels of one patch differ
    with pytest.raises(InputError, match=r"8x6 .*dim_mults \[1, 2\], patch_size 2.*4 divides"):
        check_size(config, 8, 6)

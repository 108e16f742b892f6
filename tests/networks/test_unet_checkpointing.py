"""Activations that are recomputed: the same numbers, less that is kept."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from oracles import default_dtype
from torch import Tensor, nn
from toys import Trainer

from nkca.config.schema import ModelConfig, TrainingConfig
from nkca.models.build import ModelSpec, assemble, new_denoiser
from nkca.networks.layers import Residual
from nkca.networks.unet import UNet, recompute_levels
from nkca.noise import step_noise
from nkca.training.build import build_learner

H, MULTS = 8, (1, 2, 1)
MODEL = ModelConfig(hidden_size=H, dim_mults=MULTS)


def network(config: ModelConfig = MODEL) -> nn.Module:
    """A denoiser of 1 x 8 x 8 images whose gates are open."""
    made = new_denoiser(ModelSpec(config, (1, 8, 8), 0.5), 0)
    generator = torch.Generator().manual_seed(5)
    for layer in made.modules():
        if isinstance(layer, Residual):
            nn.init.normal_(layer.gate, generator=generator)
    return made


def trainer(levels: int, precision: str = "fp32", **options: object) -> Trainer:
    """Learns with ``levels`` recomputed."""
    taught = network()
    recompute_levels(taught, levels)
    spec, cpu = ModelSpec(MODEL, (1, 8, 8), 0.5), torch.device("cpu")
    chain = assemble(spec, taught, device=cpu, precision=precision).chain
    config = replace(TrainingConfig(lr=1e-3, batch_size=5), **options)  # type: ignore[arg-type]
    return Trainer(build_learner(config, chain, taught, copy.deepcopy(taught)))


def batch(step: int) -> Tensor:
    u = step_noise(99, step, 0, 5).uniform(torch.empty(5, 1, 1, 1))
    return (1.6 * u - 0.8).expand(5, 1, 8, 8).contiguous()


def gradients(subject: Trainer) -> dict[str, Tensor]:
    """After one step whose gradients stay."""
    subject.step(batch(0), step_noise(0, 0, 0, 5))
    found = {name: p.grad for name, p in subject.network.named_parameters()}
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_are_those_without(levels: int, precision: str) -> None:
    plain, recomputed = (gradients(trainer(n, precision, accumulate=2)) for n in (0, levels))
    assert plain.keys() == recomputed.keys()
    assert len(plain) == len(list(network().parameters()))
    whole = math.sqrt(sum(g.double().square().sum().item() for g in plain.values()))
    apart = math.sqrt(
        sum((g - recomputed[name]).double().square().sum().item() for name, g in plain.items())
    )
    assert whole > 1
    assert apart < (1e-5 if precision == "fp32" else 1e-2) * whole  # sums are in another order


def test_weights_after_steps_are_those_without() -> None:
    """In float64: Adam makes much of the rounding of small gradients."""
    with default_dtype(torch.float64):
        subjects = [trainer(levels, accumulate=3) for levels in (0, 3)]
        losses = [
            [subject.step(batch(n), step_noise(0, n, 0, 5)).loss for n in range(3)]
            for subject in subjects
        ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    plain, recomputed = (subject.network.state_dict() for subject in subjects)
    assert all(torch.allclose(plain[name], recomputed[name], atol=1e-8) for name in plain)


def kept_bytes(levels: int) -> int:
    """Of the tensors that autograd holds between the forward and the backward pass, but weights."""
    unet = UNet(H, MULTS)
    recompute_levels(unet, levels)
    weights = {p.data_ptr() for p in unet.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        unet(torch.ones(1, H, 32, 32), torch.ones(1, H, 1, 1))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_each_level_that_is_recomputed_keeps_less() -> None:
    found = [kept_bytes(levels) for levels in range(4)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4
    assert found[3] < 0.3 * found[0]
    assert found[0] - found[1] > found[1] - found[3]  # the outermost level is the largest


def calls_of_stages(work: Callable[[UNet], object], levels: int) -> list[int]:
    """How often each stage's first residual runs: the first of ``down``, the middle."""
    unet = UNet(H, MULTS)
    recompute_levels(unet, levels)
    counts = [0, 0]
    for place, stage in enumerate([unet.down[0], unet.middle]):
        block = stage.block1
        assert isinstance(block, Residual)

        def count(*_: object, place: int = place) -> None:
            counts[place] += 1

        block.fn.register_forward_pre_hook(count)
    work(unet)
    return counts


def test_it_costs_nothing_where_there_is_no_gradient() -> None:
    x, e = torch.ones(1, H, 8, 8), torch.ones(1, H, 1, 1)

    @torch.no_grad()
    def forward(unet: UNet) -> None:
        unet(x, e)

    def backward(unet: UNet) -> None:
        torch.autograd.backward(unet(x, e).sum())

    assert calls_of_stages(forward, 3) == [1, 1]
    assert calls_of_stages(backward, 0) == [1, 1]
    assert calls_of_stages(backward, 1) == [2, 1]  # outermost first
    assert calls_of_stages(backward, 3) == [2, 2]


def test_names_of_weights_and_copies() -> None:
    made = network()
    before = list(made.state_dict())
    recompute_levels(made, 2)
    assert list(made.state_dict()) == before
    assert [m.recomputed_levels for m in made.modules() if isinstance(m, UNet)] == [2]
    assert [m.recomputed_levels for m in network().modules() if isinstance(m, UNet)] == [0]

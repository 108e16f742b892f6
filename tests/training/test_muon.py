"""Muon: orthogonal updates, which weights get them, an exact way back."""

import copy

import pytest
import torch
from torch import Tensor

from nkca.config.schema import ModelConfig
from nkca.models.build import ModelSpec, new_denoiser
from nkca.training.muon import MOMENTUM, RATE, Muon, orthogonal

SPEC = ModelSpec(ModelConfig(hidden_size=16, dim_mults=(1, 2)), (1, 8, 8), 0.5)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 16), (16, 144), (200, 30)])
def test_the_result_has_the_singular_vectors_and_singular_values_near_one(
    shape: tuple[int, int],
) -> None:
    u, s, vh = torch.linalg.svd(random(*shape), full_matrices=False)
    s = torch.linspace(1, 0.05, len(s))  # singular values that differ much
    found = orthogonal(u @ torch.diag(s) @ vh)
    rotated = u.T @ found @ vh.T
    assert (rotated.diagonal() > 0.6).all()
    assert (rotated.diagonal() < 1.3).all()
    assert (rotated - torch.diag(rotated.diagonal())).abs().max() < 0.05  # bfloat16


def test_the_size_of_a_matrix_does_not_matter_and_zero_stays_zero() -> None:
    matrix = random(20, 40)
    assert (orthogonal(1e-6 * matrix) - orthogonal(1e3 * matrix)).abs().max() < 0.02
    assert orthogonal(torch.zeros(20, 40)).abs().max() == 0


def muon() -> Muon:
    network = new_denoiser(SPEC, 0)
    return Muon(dict(network.named_parameters()), (0.9, 0.99))


def give_gradients(subject: Muon, seed: int) -> None:
    for number, weight in enumerate({**subject.matrices, **subject.adam.weights}.values()):
        weight.grad = random(*weight.shape, seed=1000 * seed + number)


def test_matrices_within_the_unet_are_its_own_and_the_rest_is_adams() -> None:
    subject = muon()
    names = set(subject.matrices)
    assert "trunk.unet.middle.block1.fn.block1.conv.weight" in names
    assert "trunk.unet.down.0.attention.fn.qkv.weight" in names
    for other in ("input.weight", "trunk.output.weight", "trunk.head.conv.weight",
                  "trunk.unet.middle.block1.gate", "trunk.unet.middle.block1.fn.block1.conv.bias",
                  "trunk.level_embedding.first.weight"):  # fmt: skip
        assert other in subject.adam.weights
    assert names | set(subject.adam.weights) == {
        n for n, _ in new_denoiser(SPEC, 0).named_parameters()
    }
    assert not names & set(subject.adam.weights)


def test_the_first_two_updates_by_hand() -> None:
    subject = muon()
    name = "trunk.unet.down.1.block1.fn.block1.conv.weight"
    weight = subject.matrices[name]
    expected, mean = weight.detach().clone(), torch.zeros_like(weight)
    for seed in (1, 2):
        give_gradients(subject, seed)
        gradient = weight.grad
        assert gradient is not None
        mean = MOMENTUM * mean + (1 - MOMENTUM) * gradient
        direction = MOMENTUM * mean + (1 - MOMENTUM) * gradient
        u, _, vh = torch.linalg.svd(direction.flatten(1), full_matrices=False)
        tall = max(1.0, weight.flatten(1).shape[0] / weight.flatten(1).shape[1]) ** 0.5
        expected -= 0.001 * RATE * tall * (u @ vh).view(weight.shape)
        subject.step(0.001)
    change = (weight - expected).norm() / (2 * 0.001 * RATE * min(weight.flatten(1).shape) ** 0.5)
    assert change < 0.3  # singular values of 0.7 to 1.2 instead of 1
    gate = subject.adam.weights["trunk.unet.middle.block1.gate"]
    assert gate.detach().abs().max().item() == pytest.approx(
        0.002, rel=0.3
    )  # Adam's rate is the rate itself


def test_it_goes_on_from_its_state_exactly() -> None:
    first, second = muon(), muon()
    assert first.state()["mean"] == {}
    give_gradients(first, 1)
    first.step(0.001)
    state = copy.deepcopy(first.state())
    for (_, a), (_, b) in zip(first.matrices.items(), second.matrices.items(), strict=True):
        b.data.copy_(a)
    for (_, a), (_, b) in zip(first.adam.weights.items(), second.adam.weights.items(), strict=True):
        b.data.copy_(a)
    second.load(state)
    for subject in (first, second):
        give_gradients(subject, 2)
        subject.step(0.001)
    for name, weight in {**first.matrices, **first.adam.weights}.items():
        other = {**second.matrices, **second.adam.weights}[name]
        assert torch.equal(weight, other), name
    assert set(state["mean"]) == set(first.matrices) | set(first.adam.weights)
    assert set(state["square"]) == set(first.adam.weights)


def test_a_weight_without_a_gradient_is_an_error() -> None:
    subject = muon()
    with pytest.raises(RuntimeError, match="has no gradient"):
        subject.step(0.001)

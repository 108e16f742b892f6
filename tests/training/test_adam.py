"""Adam: PyTorch's own numbers, whatever the memory layout, and an exact way back."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from nkca.training.adam import Adam

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def networks(layout: torch.memory_format) -> tuple[nn.Module, nn.Module]:
    """Two equal networks, the first in ``layout``."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(4, 6, 3), nn.Conv2d(6, 5, 1), nn.ConvTranspose2d(5, 3, 4), nn.Linear(3, 2))
    plain = nn.Sequential(*layers)
    return copy.deepcopy(plain).to(memory_format=layout), plain


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("of_gradients", LAYOUTS)
def test_moves_as_pytorchs_adam(
    layout: torch.memory_format, of_gradients: torch.memory_format
) -> None:
    network, plain = networks(layout)
    adam = Adam(network.named_parameters(), (0.9, 0.99))
    reference = torch.optim.Adam(plain.parameters(), lr=0.1, betas=(0.9, 0.99), foreach=False)
    for rate in (0.1, 0.1, 0.02):
        for weight, other in zip(network.parameters(), plain.parameters(), strict=True):
            other.grad = torch.randn(other.shape)
            four = other.dim() == 4
            weight.grad = other.grad.to(memory_format=of_gradients) if four else other.grad.clone()
        adam.step(rate)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for weight, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-6)
    for (name, mean), other in zip(adam.state()["mean"].items(), plain.parameters(), strict=True):
        assert mean.shape == network.get_parameter(name).shape
        torch.testing.assert_close(mean, reference.state[other]["exp_avg"])


def test_goes_on_in_another_layout() -> None:
    network, plain = networks(torch.channels_last)
    first = Adam(network.named_parameters(), (0.9, 0.99))
    for weight in network.parameters():
        weight.grad = torch.randn(weight.shape)
    first.step(0.1)
    plain.load_state_dict(network.state_dict())
    second = Adam(plain.named_parameters(), (0.9, 0.99))
    second.load(first.state())
    for weight, other in zip(network.parameters(), plain.parameters(), strict=True):
        other.grad = torch.randn(other.shape)
        weight.grad = other.grad.clone()
    first.step(0.1)
    second.step(0.1)
    assert first.state()["step"] == second.state()["step"] == 2
    for weight, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-6, atol=1e-7)


def test_a_weight_without_a_gradient_is_an_error() -> None:
    weights = {"a": torch.ones(2), "b": torch.ones(2)}
    weights["a"].grad = torch.ones(2)
    adam = Adam(weights.items(), (0.9, 0.99))
    with pytest.raises(RuntimeError, match="b has no gradient"):
        adam.step(0.1)
    assert adam.steps == 0
    assert torch.equal(weights["a"], torch.ones(2))


def test_no_compiler_is_imported() -> None:
    code = (
        "import sys, torch; from nkca.training.adam import Adam; "
        "w = torch.ones(2); w.grad = torch.ones(2); "
        "Adam([('w', w)], (0.9, 0.99)).step(0.1); assert w[0] < 1; "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_pytorchs_own_class_still_updates_the_wrong_numbers() -> None:
    """Why `Adam` is not `torch.optim.Adam`; when this fails, it can be."""

    def updated(fused: bool) -> Tensor:
        weight = nn.Parameter(torch.zeros(4, 3, 2, 2))
        gradient = torch.arange(48.0).reshape(4, 3, 2, 2) - 20
        weight.grad = gradient.contiguous(memory_format=torch.channels_last)
        torch.optim.Adam([weight], lr=0.1, fused=fused).step()
        return weight.detach()

    assert updated(False).sign().flatten().tolist() == [1.0] * 20 + [0.0] + [-1.0] * 27
    assert not torch.equal(updated(True).sign(), updated(False).sign())

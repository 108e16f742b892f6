"""`--compile`: the same numbers, said once, and without a compiler one line."""

import copy
import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from nkca import compilation
from nkca.build import ModelSpec, assemble, new_denoiser
from nkca.compilation import prepare
from nkca.config import ModelConfig, TrainingConfig
from nkca.networks import kernels
from nkca.networks.native import CannotCompileError, find_compiler
from nkca.noise import step_noise
from nkca.training import Learner

CPU = torch.device("cpu")
STEPS = 50


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has begun just now."""
    monkeypatch.setattr(kernels, "_library", None)
    monkeypatch.setattr(compilation, "_choice", "off")
    monkeypatch.setattr(compilation, "_said", set())


@pytest.fixture
def _compiler() -> None:
    try:
        find_compiler()
    except CannotCompileError as error:
        pytest.skip(f"nothing is compiled here: {error}")


def learner(discrete: bool, choice: str, precision: str = "fp32") -> Learner:
    """A small model with weights that depend on nothing but ``discrete``."""
    config = ModelConfig(hidden_size=16, dim_mults=(1, 2), discrete=discrete)
    spec = ModelSpec(config, (3, 8, 8), 0.5)
    network = prepare(new_denoiser(spec, seed=0), CPU, choice)
    with torch.no_grad():  # the gates begin at zero, which would hide the blocks
        for name, weight in network.named_parameters():
            if name.endswith("gate"):
                weight.fill_(0.3)
    chain = assemble(spec, network, device=CPU, precision=precision).chain
    return Learner(chain, network, copy.deepcopy(network), TrainingConfig(lr=1e-3))


def losses(learner: Learner, discrete: bool, steps: int = STEPS) -> torch.Tensor:
    """The loss of each step, in nats for each number of an image."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for step in range(steps):
        z = torch.randint(10, (5, 3, 8, 8), generator=generator)
        z = z if discrete else z / 4.5 - 1
        found.append(learner.step(z, step_noise(0, step, 0, 5)).loss / z[0].numel())
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("discrete", [False, True])
def test_fifty_steps_agree_with_the_plain_ones(discrete: bool) -> None:
    plain = losses(learner(discrete, "off"), discrete)
    ours = losses(learner(discrete, "auto"), discrete)
    assert kernels._library is not None
    assert not torch.equal(ours, plain)  # another way of computing it
    assert (ours - plain).abs().max() < 1e-4
    assert discrete or plain[-1] < plain[0] - 0.01


@pytest.mark.usefixtures("_compiler")
def test_bfloat16_learns_as_well() -> None:
    exact = losses(learner(False, "auto"), False)
    half = losses(learner(False, "auto", "bf16"), False)
    assert not torch.equal(half, exact)
    assert (half[-10:].mean() - exact[-10:].mean()).abs() < 0.02


@pytest.mark.usefixtures("_compiler")
def test_cost_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nkca")
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path))
    for _ in range(2):
        network = prepare(nn.Conv2d(8, 8, 3), CPU, "on")
    assert isinstance(network, nn.Conv2d)
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    (line,) = caplog.messages
    assert line.startswith("compiled for this processor: ")
    assert line.endswith(" s")


def test_without_a_compiler_one_line_and_the_plain_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nkca")
    monkeypatch.setenv("CXX", str(tmp_path / "nothing"))
    compilation.choose("on")
    for _ in range(2):
        network = prepare(nn.Conv2d(8, 8, 3), CPU)
    assert isinstance(network, nn.Conv2d)
    assert network.weight.is_contiguous()
    (line,) = caplog.messages
    assert line.startswith("not compiled for this processor, which is slower: no C++ compiler here")


def test_auto_of_a_command_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nkca")
    compilation.choose("auto")
    prepare(nn.Conv2d(8, 8, 3), CPU)
    assert caplog.messages == []


def test_off_by_default_and_by_choice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nkca")
    for choice in (None, "off"):
        prepare(nn.Conv2d(8, 8, 3), CPU, choice)
    assert kernels._library is None
    assert caplog.messages == []

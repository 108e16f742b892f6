"""`--compile`: the same numbers, said once, and without a compiler one line."""

import copy
import dataclasses
import logging
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from toys import Trainer

from nkca.config.schema import ModelConfig, TrainingConfig
from nkca.models.build import ModelSpec, assemble, new_denoiser, restore
from nkca.models.checkpoint import Checkpoint
from nkca.networks.compilation import compile_network, describe_compilation
from nkca.networks.cpu import norm_mish
from nkca.networks.layers import Block
from nkca.noise import step_noise
from nkca.system.compiler import CannotCompileError, find_compiler
from nkca.training.build import build_learner

CPU = torch.device("cpu")
STEPS = 50
SPEC = ModelSpec(ModelConfig(hidden_size=16, dim_mults=(1, 2)), (3, 8, 8), 0.5)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """As in a process that has begun just now."""
    norm_mish.kernels.cache_clear()
    yield
    norm_mish.kernels.cache_clear()


@pytest.fixture
def _compiler() -> None:
    try:
        find_compiler()
    except CannotCompileError as error:
        pytest.skip(f"nothing is compiled here: {error}")


def trainer(discrete: bool, choice: str, precision: str = "fp32") -> Trainer:
    """A small model with weights that depend on nothing but ``discrete``."""
    spec = dataclasses.replace(SPEC, config=dataclasses.replace(SPEC.config, discrete=discrete))
    network = compile_network(new_denoiser(spec, seed=0), CPU, choice)
    with torch.no_grad():  # the gates begin at zero, which would hide the blocks
        for name, weight in network.named_parameters():
            if name.endswith("gate"):
                weight.fill_(0.3)
    chain = assemble(spec, network, device=CPU, precision=precision).chain
    config = TrainingConfig(lr=1e-3)
    return Trainer(build_learner(config, chain, network, copy.deepcopy(network)))


def has_kernels(network: nn.Module) -> bool:
    """Whether the network's layers compute by the kernels."""
    layers = [layer for layer in network.modules() if isinstance(layer, Block)]
    return bool(layers) and all(layer.norm_mish is norm_mish.norm_mish for layer in layers)


def losses(subject: Trainer, discrete: bool, steps: int = STEPS, skip: int = 0) -> torch.Tensor:
    """The loss of each step, in nats for each number of an image; ``skip`` steps are not taken."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for step in range(steps):
        z = torch.randint(10, (5, 3, 8, 8), generator=generator)
        z = z if discrete else z / 4.5 - 1
        if step < skip:
            continue
        found.append(subject.step(z, step_noise(0, step, 0, 5)).loss / z[0].numel())
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("discrete", [False, True])
def test_fifty_steps_agree_with_the_plain_ones(discrete: bool) -> None:
    plain = losses(trainer(discrete, "off"), discrete)
    compiled = trainer(discrete, "auto")
    ours = losses(compiled, discrete)
    assert has_kernels(compiled.network)
    assert not torch.equal(ours, plain)  # another way of computing it
    assert (ours - plain).abs().max() < 1e-4
    assert discrete or plain[-1] < plain[0] - 0.01


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize(("first", "second"), [("off", "auto"), ("auto", "off"), ("auto", "auto")])
def test_a_run_goes_on_with_another_choice(first: str, second: str) -> None:
    whole = trainer(False, "off")
    wanted = losses(whole, False, 6)
    before, after = trainer(False, first), trainer(False, second)
    losses(before, False, 3)
    after.network.load_state_dict(before.network.state_dict())
    after.optimizer.load(before.optimizer.state())
    after.progress = before.progress
    found = losses(after, False, 6, skip=3)
    assert (found - wanted[3:]).abs().max() < 1e-5
    for name, weight in after.network.named_parameters():
        if name.endswith("conv.weight"):  # Adam makes much of the rounding in biases before a norm
            torch.testing.assert_close(weight, whole.network.get_parameter(name), rtol=0, atol=2e-4)


@pytest.mark.usefixtures("_compiler")
def test_bfloat16_learns_as_well() -> None:
    exact = losses(trainer(False, "auto"), False)
    half = losses(trainer(False, "auto", "bf16"), False)
    assert not torch.equal(half, exact)
    assert (half[-10:].mean() - exact[-10:].mean()).abs() < 0.02


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("choice", ["auto", "on"])
def test_cost_is_said(choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NKCA_CACHE", str(tmp_path))
    line = describe_compilation(CPU, choice)
    found = re.fullmatch(r"compiled for this processor \(ready in (.*) s\)", line)
    assert found is not None
    assert float(found[1]) > 0.2
    norm_mish.kernels.cache_clear()
    again = describe_compilation(CPU, choice)
    assert again == "compiled for this processor (ready in 0.0 s)", "kept in the cache folder"
    network = compile_network(nn.Conv2d(8, 8, 3), CPU, choice)
    assert isinstance(network, nn.Conv2d)
    assert network.weight.is_contiguous(memory_format=torch.channels_last)


def test_without_a_compiler_one_line_and_the_plain_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "nothing"))
    network = compile_network(nn.Conv2d(8, 8, 3), CPU, "auto")
    assert isinstance(network, nn.Conv2d)
    assert network.weight.is_contiguous()
    assert describe_compilation(CPU, "auto").startswith(
        "not compiled for this processor, which is slower: no C++ compiler here"
    )


def test_off_by_choice() -> None:
    network = compile_network(new_denoiser(SPEC, seed=0), CPU, "off")
    assert not has_kernels(network)
    assert describe_compilation(CPU, "off") == ""


@pytest.mark.usefixtures("_compiler")
def test_copies_compute_alike() -> None:
    network = compile_network(new_denoiser(SPEC, seed=0), CPU, "auto")
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert has_kernels(copied)


@pytest.mark.usefixtures("_compiler")
def test_a_model_is_restored_as_chosen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nkca")
    for choice, lines in (("auto", 0), ("on", 1)):
        caplog.clear()
        network = new_denoiser(SPEC, seed=0)
        checkpoint = Checkpoint(
            {"hidden_size": 16, "dim_mults": [1, 2]}, (3, 8, 8), 0.5, {}, {}, network.state_dict()
        )
        model = restore(checkpoint, "toy", compile=choice)
        assert len(caplog.messages) == lines
        plain = restore(checkpoint, "toy").chain.denoiser
        assert isinstance(plain, nn.Module)
        assert not has_kernels(plain), "off where nothing is said, whatever other models have"
        assert isinstance(model.chain.denoiser, nn.Module)
        assert has_kernels(model.chain.denoiser)
        weight = next(w for w in model.chain.denoiser.parameters() if w.shape[2:] == (3, 3))
        assert weight.is_contiguous(memory_format=torch.channels_last)

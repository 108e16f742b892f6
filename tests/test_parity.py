"""Agreement with the original implementation: docs/method.md and tests/parity/README.md."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import FixedNoise
from parity.shrink import same
from tables import each
from torch import Tensor, nn

from nkca.chain import Chain, run
from nkca.config.schema import ModelConfig, TrainingConfig
from nkca.denoisers.learned import PAPER_LEVEL_SCALE
from nkca.distributions.categorical import Categorical, Scramble
from nkca.distributions.contracts import Distribution, Posterior
from nkca.distributions.normal import Normal
from nkca.kernels.contract import Kernel
from nkca.models.build import ModelSpec, build_denoiser, load_model, load_weights
from nkca.models.checkpoint import load_checkpoint
from nkca.models.original_checkpoint import translate_name, translate_weights
from nkca.models.state_spaces import state_space
from nkca.networks.layers import SinusoidalEmbedding
from nkca.training.build import build_learner
from nkca.training.ema import update_ema
from nkca.training.objective import reverse_loss

SPACES = ["continuous", "categorical"]
CASES = [
    "lag0.5_same", "lag0.95_same", "lag0.0_same", "lag0.25_same", "lag0.5_anneal",
    "lag0.95_anneal", "default_lag_same", "zeros_start_0_to_1", "zeros_start_0_to_1_lag0.95",
    "zeros_first_1_to_1", "inpaint_batch_mask", "inpaint_shared_mask", "inpaint_lag0.95",
]  # fmt: skip
ONLY_IN = {"lag0.0_same": "continuous", "lag0.25_same": "categorical"}
NAMES = {s: {case for case in CASES if ONLY_IN.get(case, s) == s} for s in SPACES}
ABSOLUTE, OF_LOG_PROB = 1e-5, 5e-5
OF_GRADIENT = (1e-4, 3e-4)  # of two steps: Adam turns rounding of tiny gradients into full moves
FULL = Path(__file__).resolve().parents[2] / "shared" / "parity"  # where the numbers came from
NEVER = -1e8  # the original writes -1e9 for a log-probability of -inf


@dataclass(frozen=True)
class Reference:
    """The numbers of one state space, and nkca's objects with the same weights."""

    data: dict[str, Any]
    network: nn.Module
    kernel: Kernel

    def lag(self, case: dict[str, Any]) -> float:
        """A case without a lag has the original's default, which is to be nkca's too."""
        return float(case.get("lag", self.kernel.default_lag))


@functools.cache
def load(folder: Path, space: str) -> Reference:
    data = torch.load(folder / f"{space}.pt", weights_only=True)
    network = new_network(data)
    config = config_of(data)
    return Reference(data, network.requires_grad_(False), state_space(config).kernel)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ["{}.pt", "original_{}.pth"])
def test_nothing_was_lost_in_the_packed_files(parity: Path, space: str, name: str) -> None:
    full = FULL / name.format(space)
    if not full.exists():
        pytest.skip(f"the unpacked original is not at {full}")
    found, expected = (torch.load(path, weights_only=True) for path in (parity / full.name, full))
    assert same(found, expected)
    other = {**found, next(iter(found)): None}
    assert not same(other, expected)


def config_of(data: dict[str, Any]) -> ModelConfig:
    config = data["config"]
    return ModelConfig(
        hidden_size=config["hidden_size"],
        dim_mults=tuple(config["dim_mults"]),
        discrete="num_classes" in config,
        num_classes=config.get("num_classes", 10),
    )


def new_network(data: dict[str, Any]) -> nn.Module:
    spec = ModelSpec(config_of(data), (data["config"]["num_channels"], 16, 16), 1.0)
    network = build_denoiser(spec)
    load_weights(network, translate_weights(data["state_dict"]), "the parity file")
    return network


def close(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether all agree; what is impossible in one is impossible or below rounding in the other."""
    impossible = expected < NEVER
    assert (found[impossible] < -14).all()  # a probability below 1e-6
    error = (found - expected)[~impossible].abs()
    return bool((error < tolerance).all())


def check_posterior(p_z: Posterior, expected: dict[str, Any]) -> None:
    if isinstance(p_z, Normal):
        assert close(p_z.mean, expected["pzx_loc"], ABSOLUTE)
        assert close(p_z.std, expected["pzx_scale"], ABSOLUTE)
    else:
        assert isinstance(p_z, Categorical)
        assert close(p_z.log_probs, expected["pzx_logits"], ABSOLUTE)


def all_log_probs(p: Scramble) -> Tensor:
    every = [torch.full_like(p.x, y) for y in range(p.num_classes + 1)]
    return torch.stack([p.log_prob_per_pixel(y) for y in every], -1)


def check_transition(p_y: Distribution, expected: dict[str, Any], key: str = "pyx_") -> None:
    if isinstance(p_y, Normal):
        assert close(p_y.mean, expected[f"{key}loc"], ABSOLUTE)
        assert close(p_y.std.expand_as(p_y.mean), expected[f"{key}scale"], ABSOLUTE)
    else:
        assert isinstance(p_y, Scramble)
        assert close(all_log_probs(p_y), expected[f"{key}logits"], OF_LOG_PROB)


def held(p_z: Posterior, case: dict[str, Any]) -> Posterior:
    """With the pixels that the case holds; the original's mask is True where they are held."""
    return p_z.hold(case["cond_mask"], case["cond_z"]) if "cond_mask" in case else p_z


@pytest.mark.parametrize("space", SPACES)
def test_denoiser_transition_and_log_prob(parity: Path, space: str) -> None:
    reference = load(parity, space)
    cases = {case["name"]: case for case in reference.data["cases"]}
    assert cases.keys() == NAMES[space], "none is left out"
    assert len(cases) == len(reference.data["cases"])
    for name in each(cases):
        check_case(reference, cases[name])


def check_case(reference: Reference, case: dict[str, Any]) -> None:
    x, level_x, level_y = case["x"], case["noise_level_x"], case["noise_level_y"]
    p_z = reference.network(x, level_x)
    check_posterior(p_z, case)
    # z_mode is that of p(z|x) before pixels are held, in the inpainting cases too.
    mode = p_z.mode()
    if isinstance(p_z, Categorical):
        assert (mode != case["z_mode"]).sum() <= 2  # levels as likely as each other, to rounding
    else:
        assert close(mode, case["z_mode"], ABSOLUTE)
    lag = reference.lag(case)
    p_y = reference.kernel.transition(x, level_x, level_y, held(p_z, case), lag)
    check_transition(p_y, case)
    assert isinstance(p_y, Normal | Scramble)
    found, expected = p_y.log_prob_per_pixel(case["y"]), case["logp_y"]
    possible = expected > NEVER
    scale = 1 + expected[possible].abs()
    assert close(found[possible] / scale, expected[possible] / scale, OF_LOG_PROB)
    assert close(found[~possible], expected[~possible], OF_LOG_PROB)
    if "cond_mask" in case:  # an asymmetric test: held the other way round is wrong
        other = {**case, "cond_mask": ~case["cond_mask"]}
        wrong = reference.kernel.transition(x, level_x, level_y, held(p_z, other), lag)
        with pytest.raises(AssertionError):
            check_transition(wrong, case)


def test_control_another_lag_or_level_is_seen(parity: Path) -> None:
    for space in SPACES:
        reference = load(parity, space)
        case = reference.data["cases"][0]
        p_z = reference.network(case["x"], case["noise_level_x"])
        with pytest.raises(AssertionError):
            check_posterior(reference.network(case["x"], case["noise_level_x"] + 0.01), case)
        wrong = reference.kernel.transition(
            case["x"], case["noise_level_x"], case["noise_level_y"], p_z, reference.lag(case) + 1e-3
        )
        with pytest.raises(AssertionError):
            check_transition(wrong, case)


@pytest.mark.parametrize("space", SPACES)
def test_the_lag_cap_changes_none_of_the_cases(parity: Path, space: str) -> None:
    """Not by agreement only: in no case does the cap reach the lag (below the original's floor)."""
    reference = load(parity, space)
    power = 2 if space == "continuous" else 1
    for case in reference.data["cases"]:
        lag = reference.lag(case)
        b_x, b_y = case["noise_level_x"].double(), case["noise_level_y"].double()
        assert (b_y >= lag**power * b_x - 1e-9).all(), case["name"]


@pytest.mark.parametrize("space", SPACES)
def test_pictures_that_are_not_square(parity: Path, space: str) -> None:
    reference = load(parity, space)
    case = reference.data["nonsquare"]
    assert case["x"].shape[2] != case["x"].shape[3]
    chain = Chain(reference.kernel, reference.network, reference.kernel.default_lag)
    x, level = case["x"], case["noise_level_x"]
    p_z = chain.believe(x, level)
    p_y = chain.move(x, level, level, p_z)
    check_posterior(p_z, case)
    check_transition(p_y, case)


@pytest.mark.parametrize("space", SPACES)
def test_noising(parity: Path, space: str) -> None:
    """The original noises by a transition from level 0, where p(z|x) is a point mass at x."""
    reference = load(parity, space)
    assert len(reference.data["add_noise"]) == 6
    for number in each(range(6)):
        check_noising(reference, reference.data["add_noise"][number])


def check_noising(reference: Reference, case: dict[str, Any]) -> None:
    z, level = case["x"], case["noise_level"]
    tiny = level < 1e-7
    noised = reference.kernel.add_noise(z, level)
    start = torch.full_like(level, 1e-9)  # nkca's own levels are above 0
    everywhere = torch.ones(z.shape, dtype=torch.bool)
    if isinstance(noised, Normal):
        point = Normal(z, torch.tensor(1.0)).hold(everywhere, z)
        p = reference.kernel.transition(z, start, level, point, reference.lag(case))
        check_transition(p, case, "")
        for row in (~tiny).nonzero().flatten():
            assert close(noised.mean[row], case["loc"][row], ABSOLUTE)
            assert close(noised.std[row].expand_as(z[row]), case["scale"][row], ABSOLUTE)
        return
    point_levels = Categorical(torch.zeros(*z.shape, 10)).hold(everywhere, z)
    p = reference.kernel.transition(z, start, level.clamp(1e-9), point_levels, reference.lag(case))
    for found in (noised, p):
        assert isinstance(found, Scramble)
        probs, expected = all_log_probs(found).exp(), case["logits"].exp()
        assert (probs - expected).abs().max() < ABSOLUTE
        assert close(all_log_probs(found)[~tiny], case["logits"][~tiny], OF_LOG_PROB)


def test_level_embedding(parity: Path) -> None:
    """The file's t are noise levels: those times 4000 are embedded."""
    embedding = load(parity, "continuous").data["embedding"]
    sinusoids = SinusoidalEmbedding(embedding["dim"])
    t = PAPER_LEVEL_SCALE * embedding["t"]
    assert (sinusoids(t) - embedding["out"]).abs().max() < ABSOLUTE
    exact = sinusoids(PAPER_LEVEL_SCALE * embedding["t"].double())
    assert (exact - embedding["out64"]).abs().max() < 10 * ABSOLUTE  # its frequencies are float32
    shifted = sinusoids(1.001 * PAPER_LEVEL_SCALE * embedding["t"].double())
    assert (shifted - embedding["out64"]).abs().max() > 0.1  # control


def test_forty_annealed_steps_with_the_same_noise(parity: Path) -> None:
    reference = load(parity, "continuous")
    chain_data = reference.data["chain"]
    levels = chain_data["levels"]
    xs, zs, eps = chain_data["x"], chain_data["z"], chain_data["eps"]
    assert len(levels) == 41
    chain = Chain(reference.kernel, reference.network, reference.kernel.default_lag)
    states = list(run(chain, torch.zeros_like(xs[0]), levels, FixedNoise(list(eps))))
    assert len(states) == 41
    for state, x in zip(states[1:], xs, strict=True):
        assert (state.x - x).abs().max() < 10 * ABSOLUTE  # of forty steps
    for state, z in zip(states, zs, strict=False):
        assert (state.p_z.mode() - z).abs().max() < 20 * ABSOLUTE
    other = list(run(chain, torch.zeros_like(xs[0]), levels[:3], FixedNoise([eps[1], eps[0]])))
    assert (other[2].x - xs[1]).abs().max() > 0.1  # control: the noise matters


@pytest.mark.parametrize("space", SPACES)
def test_two_training_steps(parity: Path, space: str) -> None:
    """Loss, gradients, weights and their average, with x and y of the file."""
    reference = load(parity, space)
    train = reference.data["train"]
    network, ema_network = new_network(reference.data), new_network(reference.data)
    config = TrainingConfig(lr=train["lr"], ema_decay=train["ema_decay"])
    assert (config.adam_b1, config.adam_b2) == tuple(train["betas"])
    chain = Chain(reference.kernel, network, reference.kernel.default_lag)
    learner = build_learner(config, chain, network, ema_network)
    assert len(train["steps"]) == 2
    for number, step in enumerate(train["steps"]):
        network.zero_grad()
        loss = reverse_loss(chain, step["x"], step["y"], step["noise_level"]).mean()
        torch.autograd.backward(loss)
        assert loss.item() == pytest.approx(step["loss"], rel=1e-5)
        check_gradients(network, step["grads"], OF_GRADIENT[number])
        learner.optimizer.step(train["lr"])
        update_ema(ema_network, network, train["ema_decay"])
        settled = settled_weights(network, step["grads"])
        assert len(settled) > 100
        moved = train["lr"]
        for found, key in ((network, "params_after"), (ema_network, "ema_after")):
            wrong = check_weights(found, step[key], settled, moved)
            assert not wrong, (number, key, wrong)
            moved *= 1 - train["ema_decay"]
        if number == 0:  # controls: neither is still where it started
            start = new_network(reference.data)
            assert check_weights(start, step["params_after"], settled, 0)
            assert check_weights(start, step["ema_after"], settled, 0)


def check_gradients(network: nn.Module, expected: dict[str, Any], tolerance: float) -> None:
    """Norms, sums and first entries, relative to the norm; a bias before a GroupNorm has sum ~ 0."""
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert {translate_name(name) for name in expected} == set(gradients)
    total = math.sqrt(sum(numbers["norm"] ** 2 for numbers in expected.values()))
    for name, numbers in expected.items():
        gradient = gradients[translate_name(name)]
        assert gradient is not None
        scale = numbers["norm"] + 1e-5 * total  # what float32 leaves of gradients that are ~ 0
        assert abs(gradient.norm().item() - numbers["norm"]) < tolerance * scale, name
        off = abs(gradient.double().sum().item() - numbers["sum"])
        assert off < tolerance * scale * math.sqrt(gradient.numel()), name
        head = gradient.flatten()[:4] - numbers["head"]
        assert head.abs().max().item() < tolerance * scale, name


def settled_weights(network: nn.Module, expected: dict[str, Any]) -> set[str]:
    """Weights whose first gradients are clear of rounding: Adam divides by their size."""
    total = math.sqrt(sum(numbers["norm"] ** 2 for numbers in expected.values()))
    parameters = dict(network.named_parameters())
    clear = set()
    for name, numbers in expected.items():
        size = math.sqrt(parameters[translate_name(name)].numel())
        if numbers["head"].abs().min() > 1e-2 * numbers["norm"] / size > 1e-8 * total:
            clear.add(name)
    return clear


def check_weights(
    network: nn.Module, expected: dict[str, Any], settled: set[str], moved: float
) -> list[str]:
    """Names of weights that differ: norms of all, first entries of the settled ones.

    An entry without a gradient (a bias before a GroupNorm) goes up or down as rounding has it, by
    what a step moves, ``moved``; where all entries were 0 that shows in the norm.
    """
    weights = {name: p.detach() for name, p in network.named_parameters()}
    wrong = []
    for name, numbers in expected.items():
        weight = weights[translate_name(name)]
        off = abs(weight.double().norm().item() - numbers["norm"])
        head = (weight.flatten()[:4] - numbers["head"]).abs().max().item()
        if off > 1e-4 * numbers["norm"] + 0.02 * moved or (
            name in settled and head > 2e-7 + 0.01 * moved
        ):
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("space", SPACES)
def test_checkpoints_of_the_original_open(parity: Path, space: str) -> None:
    path = parity / f"original_{space}.pth"
    file = torch.load(path, weights_only=True)
    checkpoint = load_checkpoint(path)
    assert checkpoint.version == "original"
    assert checkpoint.data_shape == (3, 16, 16)
    assert checkpoint.progress == {"step": 10}
    assert checkpoint.optimizer is None
    for found, original in ((checkpoint.ema, file["ema"]), (checkpoint.model, file["model_state"])):
        expected = translate_weights(original)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)
    model = load_model(path, device="cpu")
    assert model.chain.lag == file["session"]["lag"]
    assert model.min_noise == 0.01
    reference = load(parity, space)
    own = new_network(reference.data)
    load_weights(own, translate_weights(file["ema"]), "the file's average")
    case = reference.data["cases"][0]
    found_p, expected_p = (d(case["x"], case["noise_level_x"]) for d in (model.chain.denoiser, own))
    for field in ("log_probs",) if space == "categorical" else ("mean", "std"):
        assert torch.equal(getattr(found_p, field), getattr(expected_p, field))


@pytest.mark.parametrize("space", SPACES)
def test_every_weight_of_the_original_has_a_name_here(parity: Path, space: str) -> None:
    reference = load(parity, space)
    translated = translate_weights(reference.data["state_dict"])
    assert len(translated) == len(reference.data["state_dict"])
    own = reference.network.state_dict()
    assert {n: t.shape for n, t in translated.items()} == {n: t.shape for n, t in own.items()}
    numbers = sum(p.numel() for p in reference.network.parameters())
    assert numbers == reference.data["num_parameters"]

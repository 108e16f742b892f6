"""Learning, entropy production with a known answer, floors by enumeration, and the step's rules."""

import copy
import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch
from oracles import PixelData, default_dtype, doubles
from tables import each
from torch import Tensor, nn
from toys import Trainer

from nkca import levels
from nkca.chain import Chain
from nkca.config.schema import ModelConfig, TrainingConfig
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.denoisers.precision import with_precision
from nkca.distributions.categorical import Categorical
from nkca.distributions.contracts import Distribution
from nkca.distributions.normal import Normal
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.models.build import ModelSpec, new_denoiser
from nkca.models.state_spaces import state_space
from nkca.noise import Noise, sample_noise, step_noise
from nkca.training.build import build_learner
from nkca.training.ema import decay_at, decay_of_length
from nkca.training.learner import StepReport, TrainingProgress, UpdateRule
from nkca.training.objective import Terms, contrastive_adjustment, evaluate, reverse_loss

MODELS = {
    "paper": ModelConfig(hidden_size=8, dim_mults=(1,)),
    "preconditioned": ModelConfig(hidden_size=8, dim_mults=(1,), parametrisation="preconditioned"),
    "categorical": ModelConfig(hidden_size=8, dim_mults=(1,), discrete=True, num_classes=4),
}
CPU = torch.device("cpu")


def trainer(kind: str = "paper", *, gates: bool = False, **options: object) -> Trainer:
    """Of a learner of 1 x 8 x 8 images whose weights are always the same."""
    spec = ModelSpec(MODELS[kind], (1, 8, 8), 0.6)
    network, ema_network = new_denoiser(spec, 0), new_denoiser(spec, 0)
    for module in (network, ema_network) if gates else ():
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name.endswith("gate"):
                    nn.init.normal_(parameter, generator=generator)
    kernel = state_space(spec.config).kernel
    config = replace(TrainingConfig(), **options)  # type: ignore[arg-type]
    chain = Chain(kernel, network, kernel.default_lag)
    return Trainer(build_learner(config, chain, network, ema_network))


def batch(kind: str, step: int, size: int = 8) -> Tensor:
    """Images of one colour each, (size, 1, 8, 8)."""
    u = step_noise(99, step, 0, size).uniform(torch.empty(size, 1, 1, 1))
    z = (4 * u).long() if kind == "categorical" else 1.6 * u - 0.8
    return z.expand(size, 1, 8, 8).contiguous()


def train(subject: Trainer, kind: str, steps: int, size: int = 8) -> list[StepReport]:
    first = subject.progress.step
    return [
        subject.step(batch(kind, step, size), step_noise(0, step, 0, size))
        for step in range(first, first + steps)
    ]


def weights(module: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def distance(a: list[Tensor], b: list[Tensor]) -> float:
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True))


def jump(chain: Chain, x: Tensor, b: Tensor) -> Distribution:
    """p(y|x) at equal levels."""
    return chain.move(x, b, b, chain.believe(x, b))


# Learning


def known(kind: str) -> Denoiser:
    """The denoiser of images that are all alike: it knows z."""
    if kind == "categorical":
        return PixelPriorDenoiser(torch.tensor([0.0, 0.0, 1.0, 0.0]).log().expand(1, 8, 8, 4))
    return GaussianDenoiser(torch.tensor(0.4), torch.tensor(0.0))


@torch.no_grad()
def excess(chain: Chain, kind: str, z: Tensor) -> float:
    """A divergence, at least 0: loss above that of the best chain, for x and y of the best chain."""
    noise, b = sample_noise(range(len(z))), torch.full((len(z),), 0.5)
    x = chain.kernel.add_noise(z, b).sample(noise)
    best = replace(chain, denoiser=known(kind))
    y = jump(best, x, b).sample(noise)
    above = reverse_loss(chain, x, y, b) - reverse_loss(best, x, y, b)
    return float(above.mean() / z[0].numel())


@pytest.mark.parametrize(
    ("kind", "lr", "steps", "bound"),
    [
        ("paper", 0.01, 50, 0.01),
        ("preconditioned", 0.005, 30, 0.015),
        ("categorical", 0.02, 50, 0.05),
    ],
)
def test_it_reaches_the_known_optimum_of_images_that_are_all_alike(
    kind: str, lr: float, steps: int, bound: float
) -> None:
    z = torch.full((4, 1, 8, 8), 2 if kind == "categorical" else 0.4)

    def after(lr: float, steps: int) -> float:
        learner = trainer(kind, lr=lr).learner
        chain = replace(learner.chain, lag=0.0)  # the lag hides what is learnt
        subject = Trainer(replace(learner, chain=chain))
        for step in range(steps):
            subject.step(z, step_noise(0, step, 0, 4))
        return excess(subject.chain, kind, z[:1].expand(64, 1, 8, 8))

    assert -bound / 2 < after(lr, steps) < bound
    assert after(1e-12, 5) > 1.5 * bound  # control: a model that stands still


def test_evaluation_draws_depend_on_the_number_of_an_image_alone() -> None:
    subject = trainer(gates=True)
    z = batch("paper", 0, 6)
    setting = contrastive_adjustment, levels.uniform(0.01), subject.chain
    whole = evaluate(*setting, z)
    again = evaluate(*setting, z)
    part = evaluate(*setting, z[4:], first=4)
    assert torch.equal(whole.loss, again.loss)
    assert torch.allclose(part.loss, whole.loss[4:], atol=1e-3)
    shifted = evaluate(*setting, z[4:], first=5)
    assert not torch.allclose(shifted.loss, whole.loss[4:], atol=1e-3)
    assert not whole.loss.requires_grad


# Entropy production


@dataclass(frozen=True)
class Rotation:
    """A wrong denoiser of N(0, 1) data, two pixels: it keeps the noised data, but turns them.

    At equal levels y = M x + N(0, s²) with M = [[p, -q], [q, p]] and s² = t (1 - p² - q²), t the
    variance of x. Then E|y - M x|² = 2 s² and E|x - M y|² = |I - M²|² t + |M|² s², so the entropy
    production is (|I - M²|² t + |M|² s² - 2 s²) / (2 s²); at q = 0 it vanishes.
    """

    w: float
    p: float
    q: float

    def variances(self, b: float) -> tuple[float, float]:
        t = (1 - b) ** 2 + b
        return t, t * (1 - self.p**2 - self.q**2)

    def __call__(self, x: Tensor, noise_level: Tensor) -> Normal:
        b = noise_level[0].item()
        scale = (1 - b) * (1 - self.w)
        first, second = x[..., :1], x[..., 1:]
        turned = torch.cat(
            [
                (self.p - self.w) * first - self.q * second,
                (self.p - self.w) * second + self.q * first,
            ],
            -1,
        )
        variance = self.variances(b)[1] - b * (1 - self.w**2)
        assert variance > 0
        return Normal(turned / scale, torch.tensor(math.sqrt(variance) / scale).double())

    def entropy_production(self, b: float) -> float:
        t, s2 = self.variances(b)
        p2, q2 = self.p**2, self.q**2
        of_square = 2 * ((1 - p2 + q2) ** 2 + 4 * p2 * q2)
        return (of_square * t + 2 * (p2 + q2) * s2 - 2 * s2) / (2 * s2)


def production(chain: Chain, b: float, count: int = 20_000) -> tuple[float, float]:
    """Mean and standard error of the entropy production, two pixels of N(0, 1) data."""
    noise = Noise([1])
    z = noise.normal(torch.empty(1, count, 1, 1, 2, dtype=torch.float64))[0]
    draws = OneStream(count)
    terms = contrastive_adjustment(chain, z, doubles([b] * count), draws)
    values = 2 * terms.shown["entropy_production"]  # of both pixels
    return values.mean().item(), values.std().item() / math.sqrt(count)


class OneStream(Noise):
    """All rows from one generator: fast where rows are many."""

    def __init__(self, count: int) -> None:
        super().__init__([7])
        self.count = count

    def __len__(self) -> int:
        return self.count

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self._generators[0], dtype=like.dtype)


@pytest.mark.parametrize("b", [0.1, 0.5, 0.95])
def test_entropy_production_vanishes_for_an_exact_denoiser(b: float) -> None:
    exact = GaussianDenoiser(doubles(0.0), doubles(1.0))
    mean, error = production(Chain(ContinuousKernel(), exact, 0.5), b)
    assert abs(mean) < 4 * error
    assert 0 < error < 0.05


@pytest.mark.parametrize(("p", "q"), [(0.6, 0.3), (0.6, -0.3), (0.65, 0.1)])
def test_entropy_production_of_a_turning_chain_is_the_one_computed_by_hand(
    p: float, q: float
) -> None:
    rotation = Rotation(0.5, p, q)
    expected = rotation.entropy_production(0.5)
    mean, error = production(Chain(ContinuousKernel(), rotation, 0.5), 0.5)
    assert abs(mean - expected) < 4 * error
    assert mean > 8 * error  # clearly positive
    still = Rotation(0.5, p, 0.0)
    assert still.entropy_production(0.5) == pytest.approx(0, abs=1e-12)


def test_entropy_production_of_the_exact_categorical_chain_is_zero_by_enumeration() -> None:
    """E[log p(y|x) - log p(x|y)] over all pairs; positive for the prior of other data."""
    data, w, b = PixelData((0.5, 0.3, 0.2)), 0.9, 0.4
    chain = Chain(data.kernel, PixelPriorDenoiser(doubles(data.probs).log().view(1, 1, 1, 3)), w)
    states = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    x, y = states.view(-1, 2, 1, 1, 1).unbind(1)
    level = doubles([b] * 16)
    forward = jump(chain, x, level).log_prob(y)
    occurs = forward > -math.inf
    log_ratio = (forward + reverse_loss(chain, x, y, level))[occurs]

    def mean(of: PixelData) -> float:
        pairs = (of.marginal(b)[states[:, 0]] * forward.exp())[occurs]
        assert pairs.sum().item() == pytest.approx(1, abs=1e-12)
        return float((pairs * log_ratio).sum())

    assert abs(mean(data)) < 1e-12
    assert abs(mean(PixelData((0.2, 0.3, 0.5)))) > 1e-3  # control: not stationary


# Floors


def entropy_of(p: Normal) -> float:
    law = torch.distributions.Normal(p.mean, p.std)
    return float(law.entropy())  # type: ignore[no-untyped-call]


LAGS_AND_LEVELS = list(itertools.product([0.0, 0.5, 0.95], [0.01, 0.3, 1.0]))


def test_the_continuous_floor_is_the_entropy_of_the_transition_where_z_is_known() -> None:
    kernel, x, z = ContinuousKernel(), doubles([[[[0.7]]]]), doubles([[[[0.3]]]])
    for w, b in each(LAGS_AND_LEVELS):
        level = doubles([b])
        p = kernel.transition(x, level, level, Normal(z, doubles(0.0)), w)
        assert isinstance(p, Normal)
        floor = kernel.loss_floor(level, w).item()
        assert floor == pytest.approx(entropy_of(p), abs=1e-12)
        exact = GaussianDenoiser(doubles(0.0), doubles(0.5))
        unknown = kernel.transition(x, level, level, exact(x, level), w)
        assert isinstance(unknown, Normal)
        spread = entropy_of(unknown)
        assert spread > floor or (b == 1 and spread == pytest.approx(floor))


def conditional_entropy(probs: tuple[float, ...], w: float, b: float) -> float:
    """H(y|x) of the exact chain of pixels that are independent, by enumeration."""
    data = PixelData(probs)
    prior = PixelPriorDenoiser(doubles(probs).log().view(1, 1, 1, -1))
    n = len(probs) + 1
    states = torch.cartesian_prod(torch.arange(n), torch.arange(n))
    x, y = states.view(-1, 2, 1, 1, 1).unbind(1)
    log_prob = jump(Chain(data.kernel, prior, w), x, doubles([b] * (n * n))).log_prob(y)
    occurs = (data.marginal(b)[states[:, 0]] > 0) & (log_prob > -math.inf)
    p_x = data.marginal(b)[states[:, 0]][occurs]
    return -(p_x * log_prob[occurs].exp() * log_prob[occurs]).sum().item()


def test_the_categorical_floor_by_enumeration() -> None:
    """H(y|x) where z is known; the exact denoiser of data with a spread is above it."""
    for w, b in each(LAGS_AND_LEVELS):
        floor = CategoricalKernel(3).loss_floor(doubles([b]), w).item()
        assert floor == pytest.approx(conditional_entropy((0.0, 1.0, 0.0), w, b), abs=1e-12)
        spread = conditional_entropy((0.5, 0.3, 0.2), w, b)
        assert spread > 1.01 * floor or (b == 1 and spread == pytest.approx(floor, abs=1e-12))


@pytest.mark.parametrize("kind", ["paper", "categorical"])
def test_reports_subtract_the_floor_of_each_level(kind: str) -> None:
    subject = trainer(kind, gates=True)
    report = subject.step(batch(kind, 0), step_noise(0, 0, 0, 8))
    floor = subject.chain.kernel.loss_floor(report.noise_level, subject.chain.lag)
    above = report.shown["loss_above_floor"] + floor
    assert above.mean().item() * 64 == pytest.approx(report.loss, rel=1e-5)
    assert {name: value.shape for name, value in report.shown.items()} == {
        "loss_above_floor": (8,),
        "entropy_production": (8,),
    }
    drawn = levels.uniform(0.01)(step_noise(0, 0, 0, 8), CPU)
    assert torch.equal(report.noise_level, drawn)


# The step


@pytest.mark.parametrize("kind", MODELS)
def test_accumulation_changes_nothing(kind: str) -> None:
    """In float64, so that rounding is far below what a wrong weighting of parts would do."""

    def after(accumulate: int, size: int) -> tuple[list[Tensor], list[StepReport]]:
        with default_dtype(torch.float64):
            subject = trainer(kind, gates=True, lr=1e-3, accumulate=accumulate, batch_size=size)
            reports = train(subject, kind, 3, size)
            return weights(subject.network) + weights(subject.ema_network), reports

    for size, parts in each([(8, 4), (7, 3), (5, 5)]):
        (whole, one), (pieces, many) = after(1, size), after(parts, size)
        assert distance(whole, pieces) < 1e-7
        for a, b in zip(one, many, strict=True):
            assert a.loss == pytest.approx(b.loss, rel=1e-10)
            assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=1e-8)
            left, right = (report.shown["entropy_production"] for report in (a, b))
            assert torch.allclose(left, right, atol=1e-8)
            assert b.progress.images == a.progress.images
        (other, _) = after_seed(kind, size)
        assert distance(whole, other) > 1e-5  # control: what another draw does


def after_seed(kind: str, size: int) -> tuple[list[Tensor], None]:
    with default_dtype(torch.float64):
        subject = trainer(kind, gates=True, lr=1e-3, batch_size=size)
        for step in range(3):
            subject.step(batch(kind, step, size), step_noise(1, step, 0, size))
        return weights(subject.network) + weights(subject.ema_network), None


def test_a_batch_that_is_not_finite_moves_nothing_and_is_counted() -> None:
    subject = trainer(gates=True, lr=1e-3)
    train(subject, "paper", 2)
    before = weights(subject.network), weights(subject.ema_network)
    state = copy.deepcopy(subject.optimizer.state())
    bad = batch("paper", 2)
    bad[3, 0, 0, 0] = math.nan
    report = subject.step(bad, step_noise(0, 2, 0, 8))
    assert report.was_skipped
    assert not math.isfinite(report.gradient_norm)
    assert same(before[0], weights(subject.network))
    assert same(before[1], weights(subject.ema_network))
    after = subject.optimizer.state()
    assert after["step"] == state["step"] == 2
    assert all(torch.equal(after["mean"][n], state["mean"][n]) for n in state["mean"])
    again = subject.step(bad, step_noise(0, 3, 0, 8))
    assert again.progress == TrainingProgress(step=4, images=32, skipped=2, skipped_in_a_row=2)
    good = subject.step(batch("paper", 4), step_noise(0, 4, 0, 8))
    assert not good.was_skipped
    assert good.progress == TrainingProgress(step=5, images=40, skipped=2, skipped_in_a_row=0)
    assert not same(before[0], weights(subject.network))
    assert all(w.isfinite().all() for w in weights(subject.network) + weights(subject.ema_network))


def test_learning_rate_warm_up_by_hand() -> None:
    rates = [r.learning_rate for r in train(trainer(lr=0.008, lr_warmup=4), "paper", 6)]
    assert rates == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.008, 0.008])
    assert [r.learning_rate for r in train(trainer(lr=0.008), "paper", 2)] == [0.008, 0.008]
    subject = trainer(lr=0.008, lr_warmup=4)
    before = weights(subject.network)
    train(subject, "paper", 1)
    moved = distance(before, weights(subject.network))
    assert moved == pytest.approx(0.002, rel=1e-3)  # Adam's first move is the rate itself


def test_learning_rate_decay_by_hand() -> None:
    rule = UpdateRule(lr=0.008, lr_warmup=4, lr_decay=0.5)
    shares = {0.0: 0.002, 0.5: 0.002, 0.75: 0.001, 1.0: 0.0, 1.1: 0.0}
    assert [rule.learning_rate(0, share) for share in shares] == pytest.approx([*shares.values()])
    assert rule.learning_rate(9, 0.9) == pytest.approx(0.0016)
    assert replace(rule, lr_decay=0.0).learning_rate(9, 1.0) == 0.008
    subject = trainer(lr=0.008, lr_decay=0.5)
    before = weights(subject.network)
    z, noise = batch("paper", 0), step_noise(0, 0, 0, 8)
    report = subject.learner.step(TrainingProgress(), z, noise, share=0.75)
    assert report.learning_rate == pytest.approx(0.004)
    assert distance(before, weights(subject.network)) == pytest.approx(0.004, rel=1e-3)


@pytest.mark.parametrize(("warmup", "decays"), [(True, [2 / 11, 3 / 12]), (False, [0.9, 0.9])])
def test_the_average_by_hand(warmup: bool, decays: list[float]) -> None:
    subject = trainer(gates=True, lr=0.01, ema_decay=0.9, ema_warmup=warmup)
    expected = weights(subject.ema_network)
    for step, decay in enumerate(decays):
        subject.step(batch("paper", step), step_noise(0, step, 0, 8))
        now = weights(subject.network)
        expected = [decay * a + (1 - decay) * w for a, w in zip(expected, now, strict=True)]
    assert distance(expected, weights(subject.ema_network)) < 1e-6
    assert distance(weights(subject.network), weights(subject.ema_network)) > 1e-3
    assert not any(p.requires_grad for p in subject.ema_network.parameters())


def test_an_average_of_a_length_weighs_updates_by_a_power_of_their_time() -> None:
    length, updates = 0.25, 400
    weight = [0.0] * updates
    for update in range(1, updates + 1):
        decay = decay_of_length(update, length)
        weight = [decay * w for w in weight]
        weight[update - 1] += 1 - decay
    assert sum(weight) == pytest.approx(1)
    expected = [(m / updates) ** (1 / length - 1) for m in range(1, updates + 1)]
    assert weight[80:] == pytest.approx([e / sum(expected) for e in expected][80:], rel=0.1)
    subject = trainer(gates=True, lr=0.01, ema_length=0.25)
    for step in range(4):  # the first 1 / length updates are copied
        subject.step(batch("paper", step), step_noise(0, step, 0, 8))
    assert distance(weights(subject.network), weights(subject.ema_network)) == 0
    subject.step(batch("paper", 4), step_noise(0, 4, 0, 8))
    assert distance(weights(subject.network), weights(subject.ema_network)) > 1e-4


def test_decay_by_hand() -> None:
    assert [decay_at(n, 0.999, False) for n in (1, 10)] == [0.999, 0.999]
    assert decay_at(1, 0.999, True) == 2 / 11
    assert decay_at(90, 0.999, True) == 0.91
    assert decay_at(10**6, 0.999, True) == 0.999


def test_an_infinite_loss_is_skipped_though_its_gradient_is_finite() -> None:
    learner = trainer().learner
    weight = next(learner.network.parameters())

    def infinite(_chain: Chain, z: Tensor, *_: object) -> Terms:
        return Terms(weight.sum() + torch.full((len(z),), math.inf))

    subject = Trainer(replace(learner, objective=infinite))
    before = weight.detach().clone()
    report = subject.step(batch("paper", 0), step_noise(0, 0, 0, 8))
    assert math.isfinite(report.gradient_norm)
    assert report.was_skipped
    assert torch.equal(weight, before)


def test_a_skipped_step_does_not_count_for_the_warm_up_of_the_average() -> None:
    subject = trainer(gates=True, lr=0.01, ema_decay=0.9, ema_warmup=True)
    subject.step(torch.full((8, 1, 8, 8), math.nan), step_noise(0, 0, 0, 8))
    start = weights(subject.ema_network)
    subject.step(batch("paper", 1), step_noise(0, 1, 0, 8))
    now = weights(subject.network)
    expected = [2 / 11 * a + 9 / 11 * w for a, w in zip(start, now, strict=True)]
    assert distance(expected, weights(subject.ema_network)) < 1e-6


def test_clipping_by_hand() -> None:
    def gradients(grad_clip: float | None) -> tuple[list[Tensor], float]:
        subject = trainer(gates=True, grad_clip=grad_clip)
        norm = train(subject, "paper", 1)[0].gradient_norm
        return [p.grad for p in subject.network.parameters() if p.grad is not None], norm

    free, norm = gradients(None)
    total = math.sqrt(sum(g.double().square().sum().item() for g in free))
    assert norm == pytest.approx(total, rel=1e-5)
    limit = norm / 4
    clipped, reported = gradients(limit)
    assert reported == pytest.approx(norm, rel=1e-6)  # the norm before clipping is shown
    assert distance([g / 4 for g in free], clipped) < 1e-4 * norm
    assert math.sqrt(sum(g.double().square().sum().item() for g in clipped)) <= limit * (1 + 1e-6)
    loose, _ = gradients(2 * norm)
    assert same(loose, free)


@pytest.mark.parametrize("kind", MODELS)
def test_resuming_from_the_optimizer_state_is_bit_identical(kind: str) -> None:
    subject = trainer(kind, gates=True, lr=1e-3, ema_warmup=True, lr_warmup=4)
    train(subject, kind, 2)
    state = copy.deepcopy(subject.optimizer.state())
    assert state["step"] == 2
    assert set(state["mean"]) == {name for name, _ in subject.network.named_parameters()}
    other = trainer(kind, lr=1e-3, ema_warmup=True, lr_warmup=4)
    other.network.load_state_dict(subject.network.state_dict())
    other.ema_network.load_state_dict(subject.ema_network.state_dict())
    fresh = copy.deepcopy(other.network)
    other.optimizer.load(state)
    other.progress = subject.progress
    train(subject, kind, 3)
    train(other, kind, 3)
    assert same(weights(subject.network), weights(other.network))
    assert same(weights(subject.ema_network), weights(other.ema_network))
    forgetful = trainer(kind, lr=1e-3, ema_warmup=True, lr_warmup=4)  # control: without the state
    forgetful.network.load_state_dict(fresh.state_dict())
    forgetful.progress = replace(subject.progress, step=2, images=16)
    train(forgetful, kind, 3)
    assert not same(weights(subject.network), weights(forgetful.network))


def test_a_loaded_optimizer_state_is_a_copy() -> None:
    subject = trainer(gates=True, lr=1e-3)
    train(subject, "paper", 1)
    state = copy.deepcopy(subject.optimizer.state())
    kept = copy.deepcopy(state)
    other = trainer(gates=True, lr=1e-3)
    other.optimizer.load(state)
    train(other, "paper", 1)
    assert all(torch.equal(state["mean"][n], kept["mean"][n]) for n in kept["mean"])


def test_an_optimizer_that_has_not_moved_has_an_empty_state() -> None:
    subject = trainer()
    empty = subject.optimizer.state()
    assert empty == {"step": 0, "mean": {}, "square": {}}
    subject.optimizer.load(empty)
    train(subject, "paper", 1)
    assert subject.optimizer.state()["step"] == 1


def test_a_step_depends_on_its_arguments_alone() -> None:
    torch_state = torch.get_rng_state()
    first, second = trainer(gates=True, lr=1e-3), trainer(gates=True, lr=1e-3)
    train(first, "paper", 2)
    torch.rand(3)
    train(second, "paper", 2)
    torch.set_rng_state(torch_state)
    assert same(weights(first.network), weights(second.network))


@pytest.mark.parametrize(("name", "bound"), [("bf16", 0.1), ("fp16", 0.0125)])
@pytest.mark.parametrize("kind", MODELS)
def test_half_precision_gives_a_float32_posterior_close_to_that_of_float32(
    kind: str, name: str, bound: float
) -> None:
    subject = trainer(kind, gates=True)
    x = sample_noise([1, 2]).normal(torch.empty(2, 1, 8, 8))
    x = (2 * x).long().clamp(0, 4) if kind == "categorical" else x
    b = torch.tensor([0.05, 0.8])
    full = with_precision(subject.network, "fp32", CPU)(x, b)
    half = with_precision(subject.network, name, CPU)(x, b)
    fields = ("log_probs",) if kind == "categorical" else ("mean", "std")
    assert isinstance(half, Categorical | Normal)
    for field in fields:
        found, expected = getattr(half, field), getattr(full, field)
        assert found.dtype == torch.float32
        assert found.isfinite().all()
        spread = expected.std().item()
        assert 0 < (found - expected).abs().mean().item() < bound * spread

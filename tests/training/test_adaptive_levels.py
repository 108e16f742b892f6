"""Adaptive levels: the same expectation, less variance, and the law while little is known."""

import math

import pytest
import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.exact import GaussianDenoiser
from nkca.kernels.continuous import ContinuousKernel
from nkca.levels import uniform
from nkca.noise import Noise, sample_noise
from nkca.training import adaptive_levels
from nkca.training.adaptive_levels import BINS, AdaptiveLevels
from nkca.training.level_draws import log_normal, log_normal_quantile, uniform_quantile
from nkca.training.objective import Terms

CPU = torch.device("cpu")
UNIFORM = AdaptiveLevels(uniform_quantile(0.01))
COUNT = 20_000


def value(b: Tensor) -> Tensor:
    """A function of levels whose expectation must not change."""
    return 100 * b.square()


def noisy_loss(b: Tensor, number: int) -> Tensor:
    """A loss of mean ``value`` and of a deviation that grows with b."""
    noise = Noise([10**6 * number + row for row in range(len(b))])
    return value(b) + 30 * b * noise.normal(b)


def learned(levels: AdaptiveLevels, batches: int = 40) -> tuple[float, ...]:
    """The sums after batches of 500, as a learner makes them."""
    sums: tuple[float, ...] = ()
    for number in range(batches):
        noise = sample_noise(range(500 * number, 500 * (number + 1)))
        b = levels.draw(sums)(noise, CPU)
        sums = levels.after(sums, b, noisy_loss(b, number) / levels.ratio(b, sums))
    return sums


def test_the_weighted_loss_has_the_expectation_of_the_law() -> None:
    sums = learned(UNIFORM)
    b = UNIFORM.draw(sums)(sample_noise(range(COUNT)), CPU)
    known = 100 * (1 - 0.01**3) / (3 * 0.99)  # of b², b ~ U(0.01, 1)

    def weighted(x: Tensor) -> float:
        return abs(x.mean().item() - known) / (x.std().item() / math.sqrt(COUNT))

    assert weighted(value(b) / UNIFORM.ratio(b, sums)) < 4
    assert weighted(value(b)) > 10, "control: without weights it is another expectation"


def test_the_density_follows_the_deviation_of_the_loss() -> None:
    ratios = UNIFORM._ratios(learned(UNIFORM))
    middle = 0.01 + 0.99 * (torch.arange(BINS) + 0.5) / BINS
    # value itself varies within a bin too, by its slope times the width of the bin / sqrt(12)
    deviation = ((30 * middle) ** 2 + (200 * middle * 0.99 / BINS) ** 2 / 12).sqrt()
    expected = 0.25 + 0.75 * deviation / deviation.mean()
    torch.testing.assert_close(ratios.float(), expected, rtol=0.15, atol=0.05)
    assert (ratios.mean() - 1).abs() < 1e-9, "q is a density"


def test_the_mean_loss_varies_less_within_bins_than_with_levels_of_the_law() -> None:
    """Deviations s_k / r_k, squared, weighted by q_k: the variance of Neyman's allocation."""
    ratios = UNIFORM._ratios(learned(UNIFORM))
    squares = ((torch.arange(BINS) + 0.5) / BINS) ** 2
    assert (squares / ratios).mean() < 0.85 * squares.mean()
    assert (squares / ratios.flip(0)).mean() > squares.mean()  # control: the other way round


def test_a_constant_added_to_the_loss_changes_nothing() -> None:
    b = UNIFORM.draw(())(sample_noise(range(2000)), CPU)
    one, other = (UNIFORM.after((), b, noisy_loss(b, 0) + added) for added in (0.0, 64.0))
    torch.testing.assert_close(UNIFORM._ratios(one), UNIFORM._ratios(other), rtol=1e-3, atol=0)


@pytest.mark.parametrize("min_noise", [1e-3, 0.2])
def test_until_all_bins_are_known_it_draws_the_law(min_noise: float) -> None:
    """Of a law that is cut off at 0.2 three quarters are that one level."""
    laws = (
        (uniform(min_noise), uniform_quantile(min_noise)),
        (log_normal(-1.2, 1.2, min_noise), log_normal_quantile(-1.2, 1.2, min_noise)),
    )
    for law, quantile in laws:
        levels = AdaptiveLevels(quantile)
        few = levels.after((), torch.full((31,), 0.5), torch.randn(31))
        b = levels.draw(few)(sample_noise(range(COUNT)), CPU)
        expected = law(sample_noise(range(COUNT)), CPU)
        assert (levels.ratio(b, few) == 1).all()
        shares = torch.linspace(0.01, 0.99, 99)
        gap = (b.quantile(shares) - expected.quantile(shares)).abs().max()
        assert gap < 0.02
        assert b.min() >= torch.tensor(min_noise)
        assert b.max() < 1


def test_all_levels_of_a_law_of_one_level_are_that_level() -> None:
    levels = AdaptiveLevels(log_normal_quantile(-30.0, 0.1, 0.5))
    sums = levels.after((), torch.full((100,), 0.5), torch.arange(100.0))
    assert (levels.draw(sums)(sample_noise(range(50)), CPU) == 0.5).all()
    assert levels.ratio(torch.tensor([0.5]), sums).item() == 1


def test_no_weight_is_larger_than_four_and_sums_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptive_levels, "FEWEST", 1.0)
    b = torch.linspace(0.011, 0.999, 160)
    sums = UNIFORM.after((), b, torch.where(b > 0.9, torch.arange(160.0) % 7, 1.0))
    ratios = UNIFORM._ratios(sums)
    assert ratios.min() == pytest.approx(0.25)
    assert ratios[-1] > 3
    varies_below = torch.where(b < 0.1, torch.arange(160.0) % 7, 1.0)
    for _ in range(200):  # 32,000 images
        sums = UNIFORM.after(sums, b, varies_below / UNIFORM.ratio(b, sums))
    assert sum(sums[:BINS]) == pytest.approx(4096, rel=0.05)
    ratios = UNIFORM._ratios(sums)
    assert ratios[0] > 3
    assert ratios[-1] < 0.3


def test_an_objective_keeps_what_it_shows() -> None:
    sums = learned(UNIFORM)

    def objective(_chain: Chain, z: Tensor, _b: Tensor, _noise: Noise) -> Terms:
        return Terms(z[:, 0, 0, 0], {"shown": z[:, 0, 0, 0]})

    chain = Chain(ContinuousKernel(), GaussianDenoiser(torch.tensor(0.0), torch.tensor(1.0)), 0.5)
    z, b = torch.full((2, 1, 1, 1), 6.0), torch.tensor([0.05, 0.95])
    terms = UNIFORM.weighted(objective, sums)(chain, z, b, sample_noise(range(2)))
    torch.testing.assert_close(terms.loss, 6 / UNIFORM.ratio(b, sums))
    assert terms.loss[0] > 6 > terms.loss[1]
    assert (terms.shown["shown"] == 6).all()

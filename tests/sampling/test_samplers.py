"""Deterministic samplers: right where the answer is known, of the order that they promise."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from oracles import counts_of, z_scores
from torch import Tensor

from nkca.chain import Chain, Moment
from nkca.denoisers.condition import hold
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.noise import sample_noise
from nkca.sampling.ladders import sigma_ladder
from nkca.sampling.samplers import SAMPLERS

ORDERS = {"ddim": 1, "heun": 2, "dpm2m": 2, "ge": 1}
DETERMINISTIC = list(ORDERS)
MEAN, STD = 0.3, 0.2
LOW, HIGH = 1e-4, 0.98


def gaussian_chain() -> Chain:
    exact = GaussianDenoiser(
        torch.tensor(MEAN, dtype=torch.float64), torch.tensor(STD, dtype=torch.float64)
    )
    return Chain(ContinuousKernel(), exact, 0.5)


def start(count: int = 8) -> Tensor:
    like = torch.empty(count, 1, 2, 3, dtype=torch.float64)
    return sample_noise(range(count)).normal(like)


def moments(name: str, levels: Sequence[float], chain: Chain | None = None) -> list[Moment]:
    x = start()
    return list(SAMPLERS[name](chain or gaussian_chain(), x, levels, sample_noise(range(len(x)))))


def exact_end(x: Tensor, high: float, low: float) -> Tensor:
    """Where the flow of probability takes x: as many standard deviations from the mean as it began."""

    def moments_at(b: float) -> tuple[float, float]:
        return (1 - b) * MEAN, math.sqrt((1 - b) ** 2 * STD**2 + b)

    (mean, std), (mean_end, std_end) = moments_at(high), moments_at(low)
    return mean_end + std_end / std * (x - mean)


def error(name: str, steps: int) -> float:
    levels = sigma_ladder(HIGH, LOW, steps)
    return (moments(name, levels)[-1].x - exact_end(start(), HIGH, LOW)).abs().max().item()


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_half_the_step_has_the_error_that_the_order_promises(name: str) -> None:
    coarse, fine = error(name, 200), error(name, 400)
    assert fine > 1e-9  # not so small that rounding is what is compared
    assert math.log2(coarse / fine) == pytest.approx(ORDERS[name], abs=0.25)


def test_the_second_order_is_better_at_twenty_evaluations() -> None:
    assert error("dpm2m", 19) < error("ddim", 19) / 3
    assert error("heun", 9) < error("ddim", 19)


@pytest.mark.parametrize("name", ["chain", *DETERMINISTIC])
@pytest.mark.parametrize("steps", [0, 1, 2, 1000])
def test_any_number_of_steps_is_finite_and_seen(name: str, steps: int) -> None:
    levels = sigma_ladder(HIGH, LOW, steps)
    seen = moments(name, levels)
    assert [moment.noise_level for moment in seen] == levels
    assert [moment.step for moment in seen] == list(range(steps + 1))
    assert seen[-1].x.isfinite().all()


@pytest.mark.parametrize("name", ["chain", *DETERMINISTIC])
def test_level_one_and_equal_levels_are_allowed(name: str) -> None:
    last = moments(name, [1.0, 0.7, 0.7, 0.2, 0.2])[-1]
    assert last.x.isfinite().all()
    assert last.x.abs().max() < 5


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_held_pixels_are_those_of_the_image_throughout(name: str) -> None:
    image = torch.linspace(-1, 1, 6, dtype=torch.float64).view(1, 1, 2, 3)
    mask = torch.tensor([[[[True, False, True], [False, True, False]]]])
    chain = gaussian_chain().conditioned(hold(mask, image))
    for moment in moments(name, sigma_ladder(HIGH, LOW, 12), chain):
        assert torch.equal(moment.p_z.mode()[:, mask[0]], image[:, mask[0]].expand(8, -1))
    # the state has become the image where that is held, and has not elsewhere
    apart = (moment.x - image).abs()
    assert apart[:, mask[0]].max() < 0.05
    assert apart[:, ~mask[0]].max() > 0.2


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_noise_is_not_used(name: str) -> None:
    x, levels = start(), sigma_ladder(HIGH, LOW, 5)
    ends = [
        [*SAMPLERS[name](gaussian_chain(), x, levels, sample_noise(seeds))][-1].x
        for seeds in (range(8), range(8, 16))
    ]
    assert torch.equal(*ends)
    chain_ends = [
        [*SAMPLERS["chain"](gaussian_chain(), x, levels, sample_noise(seeds))][-1].x
        for seeds in (range(8), range(8, 16))
    ]
    assert not torch.equal(*chain_ends)


@pytest.mark.parametrize("name", ["chain", *DETERMINISTIC])
def test_a_walk_at_one_level_brings_states_back_to_the_law_of_the_data(name: str) -> None:
    """From states that are far too narrow, to those of the noised data; without the walk they stay so."""
    count, level = 4000, 0.2
    x = torch.full((count, 1, 1, 1), 0.5, dtype=torch.float64)
    noise = sample_noise(range(count))
    *_, walked = SAMPLERS[name](gaussian_chain(), x, [level] * 13, noise)
    mean, std = (1 - level) * MEAN, math.sqrt((1 - level) ** 2 * STD**2 + level)
    z_of_mean = (walked.x.mean() - mean) / (std / math.sqrt(count))
    z_of_variance = (walked.x.var() / std**2 - 1) / math.sqrt(2 / count)
    assert abs(z_of_mean) < 4
    assert abs(z_of_variance) < 4


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_categories_are_refused(name: str) -> None:
    kernel = CategoricalKernel(3)
    exact = PixelPriorDenoiser(torch.zeros(1, 2, 3, 3).log_softmax(-1))
    chain = Chain(kernel, exact, kernel.default_lag)
    x = torch.full((2, 1, 2, 3), 3)
    with pytest.raises(InputError, match="use 'chain' or 'ancestral'"):
        list(SAMPLERS[name](chain, x, [1.0, 0.5], sample_noise([1, 2])))


def test_every_sampler_is_tested() -> None:
    assert set(SAMPLERS) == {"chain", "ancestral", *DETERMINISTIC}


def categorical_chain() -> Chain:
    """Pixels of three levels with probabilities .5, .2 and .3."""
    log_probs = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64).log().expand(1, 2, 3, 3)
    kernel = CategoricalKernel(3)
    return Chain(kernel, PixelPriorDenoiser(log_probs), kernel.default_lag)


def ancestral(levels: Sequence[float], count: int) -> list[Tensor]:
    x = torch.full((count, 1, 2, 3), 3)
    noise = sample_noise(range(count))
    return [moment.x for moment in SAMPLERS["ancestral"](categorical_chain(), x, levels, noise)]


def test_ancestral_sampling_keeps_what_it_has_drawn_and_ends_at_the_law_of_the_data() -> None:
    count, levels = 2000, [1.0, 0.7, 0.4, 0.2, 0.05]
    states = ancestral(levels, count)
    for before, after in itertools.pairwise(states):
        assert torch.equal(after[before < 3], before[before < 3])
    for state, level in zip(states, levels, strict=True):
        probs = torch.tensor([0.5, 0.2, 0.3, 0.0], dtype=torch.float64) * (1 - level)
        probs[3] = level
        assert z_scores(counts_of(state, 4), probs).max() < 4.5


def test_ancestral_sampling_walks_where_levels_repeat() -> None:
    before, after = ancestral([1.0, 0.3, 0.3], 50)[1:]
    assert ((before < 3) & (after == 3)).any()  # scrambled again


def test_ancestral_sampling_is_for_categories() -> None:
    with pytest.raises(InputError, match="for categories"):
        moments("ancestral", [1.0, 0.5])

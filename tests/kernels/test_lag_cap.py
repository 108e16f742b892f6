"""The drift test of the study, on one transition between levels where the lag cap binds.

At one level the cap never binds, so no study of a chain sees it; on the way down it does. Here

    z ~ data,   x ~ p(x|z) at b_x,   y ~ p(y|x) at b_y with an exact p(z|x),

and y is compared with draws x_0 ~ p(x|z) at b_y of the same z. Given z the two differ in law, for y has
forgotten some of z; over independent z they do not, E[h(y)] = E[h(x_0)] for every function h. So for
each of N independent images d = h(y) - mean of h(x_0) has mean 0, and what the images themselves
differ by is in both. This is what `nkca.diagnostics.drift.measure_drift` tests.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from tables import each
from torch import Tensor

from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
from nkca.diagnostics.drift import Drift, measure_drift, state_statistics, thresholds
from nkca.diagnostics.study import STARTS
from nkca.distributions.contracts import Distribution, Posterior
from nkca.kernels.categorical import CategoricalKernel, push_scramble
from nkca.kernels.continuous import ContinuousKernel, push_affine
from nkca.kernels.contract import Kernel
from nkca.levels import anneal, expand
from nkca.noise import Noise, derive_seed

SHAPE = (3, 8, 8)
IMAGES = 256
SEEDS = (0, 1, 2)
K = 4
REAL, LEVELS = ContinuousKernel(), CategoricalKernel(K)
Transition = Callable[[Tensor, Tensor, Tensor, Posterior, float], Distribution]


# Kernels: the true one, and two that are wrong where the cap binds


def without_cap(
    x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: float
) -> Distribution:
    """The transitions with a negative variance or e made 0: what the kernels would be without w'."""
    b_x, b_y = expand(level_x, x), expand(level_y, x)
    if x.is_floating_point():
        variance = (b_y - lag**2 * b_x).clamp(min=0)
        return push_affine(p_z, lag * x, (1 - b_y) - (1 - b_x) * lag, variance)
    e = ((b_y - lag * b_x) / (1 - lag * b_x)).clamp(min=0)
    return push_scramble(p_z, e, torch.full_like(e, lag), x, K)


def wrong_lag(
    x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: float
) -> Distribution:
    """With the cap, but x is kept with w'^1.1 where the noise counts on w'."""
    b_x, b_y = expand(level_x, x), expand(level_y, x)
    if x.is_floating_point():
        w = (b_y / b_x).sqrt().clamp(max=lag)
        return push_affine(p_z, w**1.1 * x, (1 - b_y) - (1 - b_x) * w, b_y - w.square() * b_x)
    w = (b_y / b_x).clamp(max=lag)
    e = ((b_y - w * b_x) / (1 - w * b_x)).clamp(min=0)
    return push_scramble(p_z, e, w**1.1, x, K)


def unchecked_variance(
    x: Tensor, level_x: Tensor, level_y: Tensor, p_z: Posterior, lag: float
) -> Distribution:
    """Eq. 19 to the letter: no cap, and b_y - w² b_x may be negative as long as the sum is not."""
    b_x, b_y = expand(level_x, x), expand(level_y, x)
    return push_affine(p_z, lag * x, (1 - b_y) - (1 - b_x) * lag, b_y - lag**2 * b_x)


# Data whose posterior is exact; each z is drawn on its own


@dataclass(frozen=True)
class Data:
    """Images and what is known of them.

    Args:
        draw: N independent clean states, (N, C, H, W), from a generator.
        moves: (b_x, b_y) where the cap binds for ``lag``; the second is the last of an anneal.
    """

    kernel: Kernel
    denoiser: Denoiser
    draw: Callable[[int, torch.Generator], Tensor]
    lag: float
    moves: tuple[tuple[float, float], tuple[float, float]]


def seeded(*key: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed("lag cap", *key))


PROBS = torch.tensor([0.4, 0.1, 0.2, 0.3])
REAL_LIST = 0.3 * (2 * torch.rand(6, *SHAPE, generator=seeded("real list")) - 1)
LEVEL_LIST = torch.randint(K, (1, *SHAPE), generator=seeded("level list")).repeat(6, 1, 1, 1)
LEVEL_LIST[1:, :, 2, :3] = torch.randint(K, (5, 3, 3), generator=seeded("level parts"))


def normals(count: int, generator: torch.Generator) -> Tensor:
    return 0.25 * torch.randn(count, *SHAPE, generator=generator)


def levels(count: int, generator: torch.Generator) -> Tensor:
    drawn = torch.multinomial(PROBS, count * math.prod(SHAPE), True, generator=generator)
    return drawn.view(count, *SHAPE)


def one_of(images: Tensor) -> Callable[[int, torch.Generator], Tensor]:
    return lambda count, generator: images[
        torch.randint(len(images), (count,), generator=generator)
    ]


def last_of(steps: int) -> tuple[float, float]:
    """The last two levels of the paper's anneal in so many steps."""
    b_x, b_y = anneal(1.0, 0.01, steps)[-2:]
    return b_x, b_y


OF_REAL, OF_LEVELS = ((0.6, 0.05), last_of(20)), ((0.6, 0.3), last_of(100))
GAUSSIAN = GaussianDenoiser(torch.tensor(0.0), torch.tensor(0.25))
PRIOR = PixelPriorDenoiser(PROBS.log().expand(*SHAPE, K))
DATA = {
    "gaussian": Data(REAL, GAUSSIAN, normals, 0.5, OF_REAL),
    "real image list": Data(
        REAL, ImageListDenoiser(REAL, REAL_LIST), one_of(REAL_LIST), 0.5, OF_REAL
    ),
    "pixel prior": Data(LEVELS, PRIOR, levels, 0.95, OF_LEVELS),
    "level image list": Data(
        LEVELS, ImageListDenoiser(LEVELS, LEVEL_LIST), one_of(LEVEL_LIST), 0.95, OF_LEVELS
    ),
}


# The one checker


def drift_of_a_step(
    data: Data, move: tuple[float, float], transition: Transition, seed: int = 0
) -> Drift:
    """The study's test of y against `STARTS` draws of x_0, as the study draws them."""
    z = data.draw(IMAGES, seeded("images", seed))
    noise = Noise([derive_seed("lag cap", seed, row) for row in range(IMAGES)])
    level_x, level_y = (torch.full((IMAGES,), level) for level in move)
    limits = thresholds(z)
    p_start = data.kernel.add_noise(z, level_y)
    start = [state_statistics(p_start.sample(noise), limits) for _ in range(STARTS)]
    x = data.kernel.add_noise(z, level_x).sample(noise)
    y = transition(x, level_x, level_y, data.denoiser(x, level_x), data.lag).sample(noise)
    later = state_statistics(y, limits)
    return measure_drift((1,), torch.stack(start, 1), later.unsqueeze(1))


CLEAR, PLAUSIBLE = 1e-6, 1e-3


def verdict(drift: Drift) -> bool | None:
    """True where y may have the law of x_0, False where it has not, None in between."""
    return False if drift.p_value < CLEAR else True if drift.p_value > PLAUSIBLE else None


@pytest.mark.parametrize("name", DATA)
def test_with_the_cap_a_step_ends_where_it_should(name: str) -> None:
    data = DATA[name]
    for move, seed in each(itertools.product(data.moves, SEEDS)):
        drift = drift_of_a_step(data, move, data.kernel.transition, seed)
        assert verdict(drift), (drift.worst, drift.largest)


@pytest.mark.parametrize("name", DATA)
def test_control_without_the_cap_it_does_not(name: str) -> None:
    data = DATA[name]
    for move in each(data.moves):
        b_x, b_y = move
        assert b_y < data.lag * b_x * (data.lag if data.kernel is REAL else 1), "the cap binds"
        drift = drift_of_a_step(data, move, without_cap)
        assert verdict(drift) is False, (drift.worst, drift.largest)


@pytest.mark.parametrize("name", DATA)
def test_control_nor_with_a_wrong_lag(name: str) -> None:
    data = DATA[name]
    drift = drift_of_a_step(data, data.moves[0], wrong_lag)
    assert verdict(drift) is False, (drift.worst, drift.largest)


@pytest.mark.parametrize("name", DATA)
def test_where_the_cap_does_not_bind_it_changes_nothing(name: str) -> None:
    """The same kernels without it pass there, so that it is the cap that the controls miss."""
    data = DATA[name]
    move = (0.6, 0.58)
    drift = drift_of_a_step(data, move, without_cap)
    assert verdict(drift), (drift.worst, drift.largest)
    exact = drift_of_a_step(data, move, data.kernel.transition)
    assert drift.largest == pytest.approx(exact.largest, abs=1e-3)


def test_normal_data_forgive_a_negative_variance_that_their_own_covers() -> None:
    """Why the controls make it 0: Eq. 19 is right for normal p(z|x) as long as its sum is positive.

    0.01 - 0.5² 0.0595 = -0.005, but (a_y - a_x w)² s² = 0.27 * 0.032 = 0.009. From 0.6 to 0.05, where
    it is not, the state is not a number, and that is a certain drift.
    """
    data = DATA["gaussian"]
    drift = drift_of_a_step(data, data.moves[1], unchecked_variance)
    assert verdict(drift), (drift.worst, drift.largest)
    assert drift_of_a_step(data, data.moves[0], unchecked_variance).p_value == 0


def test_control_a_step_that_stays_is_seen() -> None:
    def stay(x: Tensor, b_x: Tensor, _: Tensor, p_z: Posterior, lag: float) -> Distribution:
        return REAL.transition(x, b_x, b_x, p_z, lag)

    data = DATA["gaussian"]
    assert verdict(drift_of_a_step(data, (0.6, 0.55), stay)) is False

"""With an exact posterior every kernel keeps the noised data distribution, to rounding."""

import itertools
import math

import pytest
import torch
from oracles import (
    EXTREME_MOVES,
    GaussianData,
    LevelImages,
    Move,
    Oracle,
    PixelData,
    RealImages,
    Transition,
    doubles,
    error_of,
    random_moves,
)
from tables import each
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.condition import Conditioned, hold
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
from nkca.distributions.categorical import Scramble
from nkca.distributions.contracts import Distribution, Posterior
from nkca.distributions.normal import Normal
from nkca.kernels.categorical import CategoricalKernel, push_scramble
from nkca.kernels.continuous import ContinuousKernel, push_affine
from nkca.kernels.contract import Kernel
from nkca.levels import anneal, expand
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.pixels import CategoricalPixels, ContinuousPixels
from nkca.sampling.tasks import Schedule, inpaint, run_task, show_moment

ROUNDING = 1e-12
NARROW = GaussianData(mean=0.3, std=0.2)
ORACLES: dict[str, Oracle] = {
    "gaussian": GaussianData(mean=-0.4, std=0.7),
    "gaussian_narrow": NARROW,
    "pixel": PixelData((0.5, 0.0, 0.2, 0.3)),
    "pixel_two_levels": PixelData((0.9, 0.1)),
    "level_images": LevelImages(((0, 1), (2, 2), (0, 2)), 3),
    "real_images": RealImages((-0.8, 0.1, 0.9)),
}
CONTINUOUS = ("gaussian_narrow", "real_images")
CATEGORICAL = ("pixel", "pixel_two_levels", "level_images")
MOVES = EXTREME_MOVES + random_moves(90, seed=1)
LEVELS = [move for move in EXTREME_MOVES + random_moves(60, seed=2) if move.b_x == move.b_y]


def worst(oracle: Oracle, transition: Transition, moves: list[Move]) -> tuple[float, Move]:
    return max(((oracle.marginal_error(transition, m), m) for m in moves), key=lambda pair: pair[0])


@pytest.mark.parametrize("name", ORACLES)
def test_the_noised_data_distribution_is_kept(name: str) -> None:
    oracle = ORACLES[name]
    error, move = worst(oracle, oracle.kernel.transition, MOVES)
    assert error < ROUNDING, move


@pytest.mark.parametrize("name", ORACLES)
def test_detailed_balance_at_equal_levels(name: str) -> None:
    oracle = ORACLES[name]
    assert len(LEVELS) > 20
    for move in LEVELS:
        error = oracle.balance_error(oracle.kernel.transition, move.w, move.b_x)
        assert error < ROUNDING, move


# Controls: the checks above must fail for kernels that are wrong


def without_cap(clamped: bool) -> dict[str, Transition]:
    """The transitions as the original has them; ``clamped``: negative variances and e become 0."""
    low = 0.0 if clamped else None

    def continuous(x: Tensor, b_x: Tensor, b_y: Tensor, p_z: Posterior, w: float) -> Distribution:
        b_x, b_y = expand(b_x, x), expand(b_y, x)
        variance = b_y - w**2 * b_x
        variance = variance if low is None else variance.clamp(min=low)
        return push_affine(p_z, shift=w * x, scale=(1 - b_y) - (1 - b_x) * w, variance=variance)

    def categorical(x: Tensor, b_x: Tensor, b_y: Tensor, p_z: Posterior, w: float) -> Distribution:
        b_x, b_y = expand(b_x, x), expand(b_y, x)
        e = (b_y - w * b_x) / (1 - w * b_x)
        e = e if low is None else e.clamp(min=low)
        return push_scramble(p_z, e, torch.full_like(e, w), x, num_classes_of(p_z))

    return {name: categorical if name in CATEGORICAL else continuous for name in ORACLES}


def num_classes_of(p_z: Posterior) -> int:
    return int(p_z.log_probs.shape[-1]) if hasattr(p_z, "log_probs") else 3


BEYOND_THE_CAP = [Move(0.5, 1.0, 0.01), Move(0.95, 0.8, 0.3), Move(0.999, 0.5, 0.05)]


@pytest.mark.parametrize("name", CONTINUOUS + CATEGORICAL)
def test_control_without_the_lag_cap_the_marginal_breaks(name: str) -> None:
    oracle = ORACLES[name]
    for clamped in each([False, True]):
        transition = without_cap(clamped)[name]
        within = [Move(0.5, 0.5, 0.4), Move(0.2, 0.3, 0.3)]
        assert worst(oracle, transition, within)[0] < ROUNDING  # it is right where it may be
        for move in BEYOND_THE_CAP:
            assert move.b_y < move.w**2 * move.b_x
            assert oracle.marginal_error(transition, move) > 1e-3, move
        if (
            name in CATEGORICAL
        ):  # here the cap is b_y / b_x, not its root: b_y >= w² b_x is too late
            assert oracle.marginal_error(transition, Move(0.5, 1.0, 0.4)) > 1e-3


def test_the_cap_changes_nothing_where_the_plain_formula_is_a_distribution() -> None:
    """And no more than it must beyond: a smaller lag would keep the marginal too, but be slower."""
    x, ones = doubles([[[[0.7]]]]), doubles([1.0])
    p_z = Normal(doubles([[[[0.3]]]]), doubles(0.2))
    kernel = ContinuousKernel()
    for move in (Move(0.5, 1.0, 0.26), Move(0.5, 1.0, 0.25), Move(0.9, 0.1, 0.09)):
        arguments = x, move.b_x * ones, move.b_y * ones, p_z, move.w
        plain = without_cap(False)["real_images"](*arguments)
        capped = kernel.transition(*arguments)
        assert isinstance(plain, Normal)
        assert isinstance(capped, Normal)
        assert error_of(capped.mean, plain.mean) < ROUNDING
        assert error_of(capped.std, plain.std) < ROUNDING
    beyond = kernel.transition(x, ones, 0.04 * ones, Normal(p_z.mean, doubles(0.0)), 0.5)
    assert isinstance(beyond, Normal)
    assert beyond.std.item() < 1e-8  # w' is the root of b_y / b_x: y = 0.2 x + 0.96 z
    assert beyond.mean.item() == pytest.approx(0.2 * 0.7 + 0.96 * 0.3, abs=ROUNDING)
    for w, b_y, kept in ((0.5, 0.6, 0.5), (0.5, 0.5, 0.5), (0.5, 0.3, 0.3), (0.95, 0.95, 0.95)):
        levels = torch.zeros(1, 1, 1, 1, dtype=torch.long)
        prior = PixelPriorDenoiser(doubles([0.5, 0.5]).log().view(1, 1, 1, 2))(levels, ones)
        p_y = CategoricalKernel(2).transition(levels, ones, b_y * ones, prior, w)
        assert isinstance(p_y, Scramble)
        assert p_y.keep.item() == pytest.approx(kept, abs=ROUNDING)


def wrong_lag(x: Tensor, b_x: Tensor, b_y: Tensor, p_z: Posterior, w: float) -> Distribution:
    """The state is kept with w^1.1 where the noise counts on w."""
    b_x, b_y = expand(b_x, x), expand(b_y, x)
    if x.is_floating_point():
        scale = (1 - b_y) - (1 - b_x) * w
        return push_affine(p_z, shift=w**1.1 * x, scale=scale, variance=b_y - w**2 * b_x)
    e = (b_y - w * b_x) / (1 - w * b_x)
    return push_scramble(p_z, e, torch.full_like(e, w**1.1), x, num_classes_of(p_z))


@pytest.mark.parametrize("name", ORACLES)
def test_control_a_wrong_lag_breaks_the_marginal(name: str) -> None:
    for move in (Move(0.5, 0.5, 0.4), Move(0.3, 0.6, 0.7)):
        assert ORACLES[name].marginal_error(wrong_lag, move) > 1e-3, move


@pytest.mark.parametrize("name", ORACLES)
def test_control_a_posterior_of_another_level_breaks_balance(name: str) -> None:
    """At a level the denoiser is not told, categorical data aside: there p(z|x) has no level."""
    oracle = ORACLES[name]

    def stale(x: Tensor, b_x: Tensor, b_y: Tensor, p_z: Posterior, w: float) -> Distribution:
        if x.is_floating_point():
            return oracle.kernel.transition(x, 0.5 * b_x, 0.5 * b_y, p_z, w)
        return oracle.kernel.transition(x, b_x, 0.5 * b_y, p_z, w)

    assert oracle.balance_error(stale, 0.4, 0.6) > 1e-3


# One huge jump


def test_a_jump_from_noise_to_almost_none_is_finite() -> None:
    noise, ones = sample_noise([1, 2]), torch.ones(2)
    gaussian = GaussianDenoiser(torch.tensor(0.1), torch.tensor(0.3))
    prior = PixelPriorDenoiser(torch.full((1, 4, 4, 5), 0.2).log())
    images = torch.linspace(-1, 1, 3).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    continuous, categorical = ContinuousKernel(), CategoricalKernel(5)
    listed = ImageListDenoiser(continuous, images)
    pairs: list[tuple[Kernel, Denoiser]] = [
        (continuous, gaussian), (categorical, prior), (continuous, listed)
    ]  # fmt: skip
    for b_y, lag in each(itertools.product([0.01, 1e-6], [0.0, 0.5, 0.999])):
        for kernel, denoiser in pairs:
            chain = Chain(kernel, denoiser, lag)
            x = kernel.prior((2, 1, 4, 4)).sample(noise)
            p_y = chain.move(x, ones, b_y * ones, chain.believe(x, ones))
            y = p_y.sample(noise)
            assert y.shape == x.shape
            assert y.double().isfinite().all()
            if denoiser is not listed:
                assert p_y.log_prob(y).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scrambling_with_probability_zero_is_exact(dtype: torch.dtype) -> None:
    """A jump from 1 to 1/2 at a lag beyond the cap: w' = 1/2 and e = 0, without rounding."""
    k = 3
    kernel = CategoricalKernel(k)
    x = torch.tensor([[[[0, 1, 2, k]]]])
    p_z = PixelPriorDenoiser(torch.tensor([0.5, 0.25, 0.25], dtype=dtype).log().view(1, 1, 1, k))
    p_y = kernel.transition(
        x,
        torch.ones(1, dtype=dtype),
        torch.full((1,), 0.5, dtype=dtype),
        p_z(x, torch.ones(1, dtype=dtype)),
        lag=0.9,
    )
    assert isinstance(p_y, Scramble)
    assert p_y.scrambled.item() == 0
    assert p_y.keep.item() == 0.5
    of_scrambled = p_y.log_prob_per_pixel(torch.full_like(x, k)).flatten().tolist()
    assert of_scrambled[:3] == [-math.inf] * 3  # x was not scrambled: never
    assert of_scrambled[3] == pytest.approx(math.log(0.5), abs=1e-7)
    of_zero = p_y.log_prob_per_pixel(torch.zeros_like(x)).flatten()
    by_hand = torch.tensor([1.0, 0.0, 0.0, 0.25], dtype=dtype).log()
    assert torch.allclose(of_zero, by_hand, atol=1e-7, rtol=0)
    many = kernel.add_noise(torch.zeros(1, 1, 300, 300, dtype=torch.long), torch.zeros(1))
    assert (many.sample(sample_noise([0])) == 0).all()


# Held pixels


def models() -> dict[str, Model]:
    continuous, categorical = ContinuousKernel(), CategoricalKernel(7)
    listed = torch.linspace(-1, 1, 5).view(5, 1, 1, 1) * torch.ones(1, 3, 4, 6)
    uniform = torch.full((3, 4, 6, 7), 1 / 7).log()
    cpu = torch.device("cpu")
    chains = {
        "gaussian": Chain(continuous, GaussianDenoiser(torch.tensor(0.2), torch.tensor(0.5)), 0.5),
        "images": Chain(continuous, ImageListDenoiser(continuous, listed), 0.5),
        "pixels": Chain(categorical, PixelPriorDenoiser(uniform), 0.95),
    }
    return {
        name: Model(
            chain,
            CategoricalPixels(7) if name == "pixels" else ContinuousPixels(),
            (3, 4, 6),
            0.01,
            cpu,
        )
        for name, chain in chains.items()
    }


@pytest.mark.parametrize("name", ["gaussian", "images", "pixels"])
def test_held_pixels_are_the_reference_at_every_level(name: str) -> None:
    model = models()[name]
    images = torch.randint(256, (2, 3, 4, 6), generator=torch.Generator().manual_seed(5))
    images = images.to(torch.uint8)
    repaint = torch.zeros(4, 6, dtype=torch.bool)
    repaint[:, 4:] = True  # asymmetric: a third of the picture may change
    z = model.pixels.to_state(images)
    task = inpaint(images, repaint, [3, 4])
    for schedule in each([Schedule(1.0, 0.01, 12), Schedule(0.3, 0.3, 5), Schedule(1.0, 0.01, 1)]):
        changed = torch.zeros_like(repaint)
        for state in run_task(model, task, schedule):
            mode = state.p_z.mode()
            assert torch.equal(mode[..., :4], z[..., :4])
            picture = show_moment(model, task, state)
            assert torch.equal(picture[..., :4], images[..., :4])
            changed |= (picture != images).any(1).any(0)
        assert changed[:, 4:].all()  # control: what is not held does change


def test_hold_conditions_a_denoiser_and_holds_where_the_mask_is_true() -> None:
    denoiser = GaussianDenoiser(doubles(0.0), doubles(0.5))
    x, z = torch.full((1, 1, 1, 2), 0.3).double(), torch.full((1, 1, 1, 2), -0.9).double()
    held = Conditioned(denoiser, (hold(torch.tensor([[True, False]]), z),))
    mode = held(x, doubles([0.5])).mode().flatten()
    assert mode[0].item() == z[0, 0, 0, 0].item()
    assert mode[1].item() == denoiser(x, doubles([0.5])).mode().flatten()[1].item()


def test_levels_of_an_anneal_reach_the_moves_tested_here() -> None:
    """The paper's default anneals leave the range of the plain formula, as this file assumes."""
    of_100, of_20 = (itertools.pairwise(anneal(1.0, 0.01, steps)) for steps in (100, 20))
    assert any(b_y < 0.95 * b_x for b_x, b_y in of_100)
    assert any(b_y < 0.5**2 * b_x for b_x, b_y in of_20)

"""Relative energies: the known densities of exact chains along any path; a wrong chain is noticed."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from oracles import doubles, log_normal
from tables import each
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.metrics.energies import log_ratio, log_ratios_along
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.pixels import CategoricalPixels, ContinuousPixels

SHAPE, MEAN, STD = (1, 2, 3), 0.2, 0.4
CPU = torch.device("cpu")


def gaussian() -> GaussianDenoiser:
    return GaussianDenoiser(doubles(MEAN), doubles(STD))


def chain_of(denoiser: Denoiser, lag: float = 0.5) -> Chain:
    return Chain(ContinuousKernel(), denoiser, lag)


def log_pi(x: Tensor, b: float) -> Tensor:
    """Of the noised Gaussian, (B,), by hand."""
    a = 1 - b
    return log_normal(x, a * MEAN, math.sqrt(a * a * STD**2 + b)).flatten(1).sum(1)


def random_path(points: int, seed: int) -> list[Tensor]:
    """From the same start to the same end by random states, two at a time."""
    random = torch.Generator().manual_seed(seed)
    ends = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 2, *SHAPE, generator=ends, dtype=torch.float64)
    between = torch.randn(points, 2, *SHAPE, generator=random, dtype=torch.float64)
    return [start, *between, end]


def test_a_gaussian_has_its_log_ratio_along_any_path() -> None:
    for b, lag in each([(0.1, 0.5), (0.6, 0.5), (0.3, 0.0), (0.3, 0.95)]):
        for path in (random_path(0, 1), random_path(1, 2), random_path(5, 3)):
            by_transitions, by_scores = log_ratios_along(chain_of(gaussian(), lag), path, b)
            expected = log_pi(path[0], b) - log_pi(path[-1], b)
            assert torch.allclose(by_transitions, expected, rtol=1e-9, atol=1e-9)
            assert by_scores is not None
            assert torch.allclose(by_scores, expected, rtol=1e-9, atol=1e-9)


@dataclass(frozen=True)
class Wrong:
    """The exact denoiser with deviations times a factor, and means that turn about the middle column."""

    factor: float
    turn: float

    def __call__(self, x: Tensor, noise_level: Tensor) -> Normal:
        p_z = gaussian()(x, noise_level)
        turned = x.flip(3) * torch.tensor([1, 0, -1], dtype=x.dtype)
        return Normal(p_z.mean + self.turn * turned, self.factor * p_z.std)


def test_wrong_chains_are_noticed() -> None:
    paths = random_path(0, 1), random_path(5, 3)
    expected = log_pi(paths[0][0], 0.3) - log_pi(paths[0][-1], 0.3)
    loop = [*paths[0], *reversed(paths[1])]
    for wrong, goes_round, scores_err in each(
        [(Wrong(1, 0), False, False), (Wrong(0.5, 0), False, False), (Wrong(1, 0.3), True, True)]
    ):
        chain = chain_of(wrong)
        (found, by_scores), (round_trip, _) = (
            log_ratios_along(chain, path, 0.3) for path in (paths[0], loop)
        )
        assert by_scores is not None
        is_wrong = (found - expected).abs().max() > 0.1
        assert is_wrong == (wrong != Wrong(1, 0))
        assert ((by_scores - expected).abs().max() > 0.1) == scores_err
        assert (round_trip.abs().max() > 0.1) == goes_round  # which only a chain in balance avoids


def test_a_list_of_images_has_its_log_ratio() -> None:
    values = torch.tensor([[-0.5, 0.3], [0.4, 0.9], [0.0, -0.8]], dtype=torch.float64)
    kernel, b = ContinuousKernel(), 0.3
    chain = Chain(kernel, ImageListDenoiser(kernel, values.view(3, 1, 1, 2)), 0.5)

    def density(x: Tensor) -> Tensor:
        each_image = log_normal(x.view(-1, 1, 2), (1 - b) * values, math.sqrt(b)).sum(2)
        return each_image.logsumexp(1)

    random = torch.Generator().manual_seed(4)
    path = list(torch.randn(4, 3, 1, 1, 2, generator=random, dtype=torch.float64))
    found, by_scores = log_ratios_along(chain, path, b)
    expected = density(path[0]) - density(path[-1])
    assert torch.allclose(found, expected)
    fine = [torch.lerp(path[0], path[-1], n / 400) for n in range(401)]
    by_scores = log_ratios_along(chain, fine, b)[1]
    assert by_scores is not None
    assert torch.allclose(by_scores, expected, atol=1e-3)


def test_levels_have_their_log_ratio() -> None:
    """Images of two pixels, jointly: by way of scrambled pixels, in two orders."""
    kernel, b = CategoricalKernel(3), 0.4
    images = torch.tensor([[0, 0], [0, 0], [2, 1], [1, 0]]).view(4, 1, 1, 2)
    chain = Chain(kernel, ImageListDenoiser(kernel, images), 0.7)

    def states(*pixels: tuple[int, int]) -> list[Tensor]:
        return [torch.tensor(pair).view(1, 1, 1, 2) for pair in pixels]

    first = states((0, 0), (3, 3), (2, 1))
    second = states((0, 0), (0, 3), (3, 3), (3, 1), (2, 1))
    for path in each([first, second]):
        found, by_scores = log_ratios_along(chain, path, b)
        assert by_scores is None
        assert found.item() == pytest.approx(math.log(2), rel=1e-5)  # two images against one
    scrambled = log_ratios_along(chain, states((0, 0), (3, 0)), b)[0]  # three of them show 0 there
    expected = math.log((1 - b) ** 2 * 2) - math.log(b * (1 - b) * 3)
    assert scrambled.item() == pytest.approx(expected, rel=1e-5)


def test_pictures_of_a_model() -> None:
    model = Model(chain_of(gaussian()), ContinuousPixels(), SHAPE, 0.01, CPU)
    a, b = np.full((2, 3, 1), 140, np.uint8), np.full((2, 3, 1), 250, np.uint8)
    found = log_ratio(model, a, b, level=0.2, draws=4)
    x, y = (
        0.8 * (image[0, 0, 0] / 127.5 - 1)
        + math.sqrt(0.2)
        * Noise([derive_seed("log ratio", 0, n) for n in range(4)]).normal(torch.empty(4, *SHAPE))
        for image in (a, b)
    )
    expected = (log_pi(x.double(), 0.2) - log_pi(y.double(), 0.2)).mean().item()
    assert found.transitions == pytest.approx(expected, rel=1e-3)
    assert found.scores == pytest.approx(expected, rel=1e-3)
    assert found.transitions > 0
    back = log_ratio(model, b, a, level=0.2, draws=4)
    assert back.transitions == pytest.approx(-found.transitions, rel=1e-3)
    prior = PixelPriorDenoiser(torch.tensor([0.7, 0.3]).log().expand(*SHAPE, 2))
    levels = Chain(CategoricalKernel(2), prior, 0.9)
    black, white = np.zeros((2, 3, 1), np.uint8), np.full((2, 3, 1), 255, np.uint8)
    ratio = log_ratio(
        Model(levels, CategoricalPixels(2), SHAPE, 0.01, CPU), black, white, draws=200
    )
    assert (ratio.scores, ratio.scores_error) == (None, None)
    visible = 0.7 * 6 * math.log(0.7 / 0.3)  # of 6 pixels a share of 0.3 is scrambled
    assert abs(ratio.transitions - visible) < 4 * ratio.transitions_error


def test_bad_arguments_are_one_line() -> None:
    model = Model(chain_of(gaussian()), ContinuousPixels(), SHAPE, 0.01, CPU)
    good = np.zeros((2, 3, 1), np.uint8)
    for a, b, options, said in each(
        [
            (good, np.zeros((3, 3, 1), np.uint8), {}, "must be of"),
            (good, np.zeros((2, 3, 1)), {}, "must be uint8"),
            (good, good, {"level": 0.001}, r"level must be in \[0.01, 1\)"),
            (good, good, {"level": 1.0}, "level must be in"),
            (good, good, {"points": 1}, "points must be at least 2"),
            (good, good, {"draws": 1}, "draws must be at least 2"),
        ]
    ):
        with pytest.raises(InputError, match=said):
            log_ratio(model, a, b, **options)  # type: ignore[arg-type]

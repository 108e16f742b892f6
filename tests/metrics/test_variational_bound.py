"""The bound for continuous pixels: the truth of a Gaussian for the exact denoiser, more for others."""

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from tables import each
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.metrics.variational_bound import (
    VariationalBound,
    log_probability_of_byte,
    variational_bound,
)
from nkca.models.model import Model
from nkca.noise import Noise
from nkca.pixels import CategoricalPixels, ContinuousPixels
from nkca.sampling.tasks import Schedule

SHAPE, COUNT = (1, 4, 4), 400
MEAN, STD = -0.1, 0.25  # of the data; bytes of 0 and 255 are 3.6 and 4.4 deviations away
PIXELS = ContinuousPixels()


def model_of(denoiser: Denoiser) -> Model:
    chain = Chain(ContinuousKernel(), denoiser, 0.5)
    return Model(chain, PIXELS, SHAPE, 0.001, torch.device("cpu"))


def gaussian(mean: float, std: float) -> GaussianDenoiser:
    return GaussianDenoiser(torch.tensor(mean), torch.tensor(std))


def images() -> Tensor:
    z = Normal(torch.full((COUNT, *SHAPE), MEAN), torch.tensor(STD))
    return PIXELS.to_uint8(z.sample(Noise(range(COUNT))))


def bits(mean: float, std: float) -> float:
    """What a byte of these images costs under N(mean, std²), by summing over all 256 of them."""
    edges = (torch.arange(257, dtype=torch.float64) - 0.5) / 127.5 - 1
    edges[0], edges[-1] = -math.inf, math.inf

    def law(m: float, s: float) -> Tensor:
        cumulative: Tensor = torch.special.ndtr((edges - m) / s)
        return cumulative.diff()

    return -(law(MEAN, STD) * law(mean, std).log2()).sum().item()


def z_score(found: VariationalBound, expected: float) -> float:
    return (found.bits_per_dimension - expected) / found.standard_error


@dataclass(frozen=True)
class Careless:
    """The exact mean with a deviation that is too small by a factor."""

    factor: float

    def __call__(self, x: Tensor, noise_level: Tensor) -> Normal:
        p_z = gaussian(MEAN, STD)(x, noise_level)
        small = noise_level.view(-1, 1, 1, 1) > 0.002  # the last step keeps its deviation
        return Normal(p_z.mean, torch.where(small, self.factor * p_z.std, p_z.std))


def test_the_exact_denoiser_needs_the_entropy_and_another_gaussian_the_divergence_more() -> None:
    for mean, std in each([(MEAN, STD), (0.1, STD), (MEAN, 0.4), (-0.2, 0.2)]):
        for steps in (3, 40):
            found = variational_bound(
                model_of(gaussian(mean, std)), images(), Schedule(num_steps=steps)
            )
            assert abs(z_score(found, bits(mean, std))) < 4
            assert (found.images, found.levels) == (COUNT, steps + 1)
            assert found.lowest == pytest.approx(0.001)
            parts = found.prior + found.transitions + found.last_step
            assert parts == pytest.approx(found.bits_per_dimension)


def test_a_wrong_deviation_costs_less_the_more_steps_there_are() -> None:
    """Steps add their own noise, beside which p(z|x)'s vanishes: the bound becomes tight from above."""
    truth, gaps = bits(MEAN, STD), []
    for steps in each([5, 20, 80, 320]):
        found = variational_bound(model_of(Careless(0.0)), images(), Schedule(num_steps=steps))
        gaps.append(found.bits_per_dimension - truth)
        error = found.standard_error
    assert gaps[0] > 0.3
    for less, more in pairwise(gaps):
        assert more < 0.45 * less  # the gap is of the order 1 / steps
    assert -4 * error < gaps[-1] < 0.1


def test_bytes_are_told_apart_without_losing_small_probabilities() -> None:
    every = torch.arange(256, dtype=torch.float64).view(1, 1, 1, 256) / 127.5 - 1
    for mean, std in each([(0.0, 0.3), (-1.0, 0.001), (1.0, 5.0), (0.3, 0.02)]):
        p_z = Normal(torch.full_like(every, mean), torch.tensor(std, dtype=torch.float64))
        found = log_probability_of_byte(p_z, every)
        assert found.isfinite().all()
        assert found.exp().sum().item() == pytest.approx(1, abs=1e-12)
    far = Normal(*torch.tensor([-1.0, 0.01], dtype=torch.float64))
    lost = log_probability_of_byte(far, torch.tensor(1.0).double()).item()  # exp of it would be 0
    u = (2 - 1 / 255) / 0.01
    assert lost == pytest.approx(-0.5 * u * u - math.log(u * math.sqrt(2 * math.pi)), rel=1e-8)


def test_batches_do_not_matter_and_the_seed_does() -> None:
    some, model, short = images()[:10], model_of(gaussian(MEAN, STD)), Schedule(num_steps=4)
    whole, parts, other = (
        variational_bound(model, some, short, batch_size=size, seed=seed)
        for size, seed in ((10, 0), (3, 0), (10, 1))
    )
    assert whole.bits_per_dimension == pytest.approx(parts.bits_per_dimension, abs=1e-6)
    assert abs(whole.bits_per_dimension - other.bits_per_dimension) > 1e-4


def test_what_has_no_such_bound_is_refused() -> None:
    exact = model_of(gaussian(MEAN, STD))
    z = PIXELS.to_state(images()[:3])
    listed = model_of(ImageListDenoiser(ContinuousKernel(), z))
    classes = Chain(CategoricalKernel(4), exact.chain.denoiser, 0.5)
    discrete = Model(classes, CategoricalPixels(4), SHAPE, 0.01, torch.device("cpu"))
    small = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    for model, found, schedule, said in each(
        [
            (discrete, images(), Schedule(), "continuous pixels"),
            (listed, images(), Schedule(), "not ImageList"),
            (exact, images()[:1], Schedule(), "at least 2"),
            (exact, small, Schedule(), "must be of"),
            (exact, images(), Schedule(corrector_steps=2), "falling"),
            (exact, images(), Schedule(min_noise=2.0), "0 < min <= max"),
        ]
    ):
        with pytest.raises(InputError, match=said):
            variational_bound(model, found, schedule)

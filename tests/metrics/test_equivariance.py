"""EQ-T: exact for a chain that knows no places, finite and by hand for one that does."""

import math
from dataclasses import replace

import pytest
import torch
from tables import each
from torch import Tensor
from torch.nn import functional

from nkca.chain import Chain
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.metrics.equivariance import ShiftedNoise, equivariance, moved
from nkca.models.model import Model
from nkca.noise import Noise
from nkca.pixels import CategoricalPixels, ContinuousPixels
from nkca.sampling.tasks import Schedule

SHAPE = (1, 16, 24)
ANYWHERE = GaussianDenoiser(torch.tensor(0.0), torch.tensor(0.4))


def model_of(denoiser: Denoiser) -> Model:
    chain = Chain(ContinuousKernel(), denoiser, 0.5)
    return Model(chain, ContinuousPixels(), SHAPE, 0.01, torch.device("cpu"))


def blur(x: Tensor, mode: str) -> Normal:
    """A denoiser that looks at neighbours, beyond the border by ``mode``."""
    padded = functional.pad(x, (1, 1, 1, 1), mode=mode)
    return Normal(functional.avg_pool2d(padded, 3, stride=1), torch.tensor(0.1))


def circular(x: Tensor, noise_level: Tensor) -> Normal:
    assert len(noise_level) == len(x)
    return blur(x, "circular")


def bordered(x: Tensor, noise_level: Tensor) -> Normal:
    assert len(noise_level) == len(x)
    return blur(x, "constant")


def test_a_chain_that_knows_no_places_is_exact_with_any_sampler() -> None:
    for sampler in each(["chain", "ddim", "dpm2m", "heun"]):
        for denoiser in (ANYWHERE, circular):
            schedule = Schedule(num_steps=4, sampler=sampler, ladder="sigma")
            found = equivariance(model_of(denoiser), schedule, count=6, batch_size=4)
            assert (found.shifts, found.pictures) == ((1, 2), 6)
            assert len(found.eq_t) == 4
            assert all(values == (None, None) for values in found.eq_t.values())
    assert str(found).count("inf") == 8


def test_levels_of_categories_move_with_their_noise() -> None:
    prior = PixelPriorDenoiser(torch.full((*SHAPE, 4), 0.25).log())
    chain = Chain(CategoricalKernel(4), prior, 0.9)
    model = Model(chain, CategoricalPixels(4), SHAPE, 0.01, torch.device("cpu"))
    found = equivariance(model, Schedule(num_steps=6), count=4)
    assert all(values == (None, None) for values in found.eq_t.values())


def test_borders_and_places_are_noticed() -> None:
    ramp = torch.linspace(-0.5, 0.5, 24).expand(SHAPE)
    found = equivariance(
        model_of(GaussianDenoiser(ramp, torch.tensor(1e-3))), Schedule(num_steps=3), count=8
    )
    step = 127.5 / 23  # the pictures are the ramp: moved sideways by k they differ by k steps
    for shift, value in zip(found.shifts, found.eq_t["denoiser, level 0.3"], strict=True):
        pixels = [16 * (24 - shift), (16 - shift) * 24]  # of those moved sideways, up or down
        expected = (shift * step) ** 2 * pixels[0] / sum(pixels)
        assert value == pytest.approx(10 * math.log10(255**2 / expected), abs=0.2)
    borders = equivariance(model_of(bordered), Schedule(num_steps=3), count=8)
    assert all(value is not None and value > 20 for row in borders.eq_t.values() for value in row)


def test_noise_moves_as_its_draws() -> None:
    like, places = torch.empty(2, 1, 3, 4), [(1, 0), (0, -1)]
    for draw in each(["normal", "uniform"]):
        whole = getattr(Noise([5, 6]), draw)(like)
        found = getattr(ShiftedNoise(Noise([5, 6]), places), draw)(like)
        assert torch.equal(found[0, 0, 1:], whole[0, 0, :-1])
        assert torch.equal(found[1, 0, :, :-1], whole[1, 0, :, 1:])
    second = ShiftedNoise(Noise([5, 6]), places)[1:]
    assert len(second) == 1
    assert torch.equal(second.uniform(like[1:]), found[1:])
    levels = torch.rand(2)
    assert torch.equal(moved(levels, places), levels)


def test_batches_do_not_matter_and_no_picture_is_refused() -> None:
    model = model_of(bordered)
    parts, whole = (
        equivariance(model, Schedule(num_steps=3), count=6, batch_size=n) for n in (4, 6)
    )
    for name, values in parts.eq_t.items():
        assert values == pytest.approx(whole.eq_t[name], rel=1e-4)
    with pytest.raises(InputError, match="at least 1, got 0"):
        equivariance(model, count=0)
    small = replace(model, data_shape=(1, 3, 3))
    assert equivariance(small, Schedule(num_steps=1), count=1).shifts == (1,)

"""Bits per dimension: the entropy of the data for the exact denoiser, more for every other one."""

import math

import pytest
import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.distributions.categorical import Categorical
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.metrics.likelihood import CodeLength, code_length
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.pixels import CategoricalPixels, ContinuousPixels

SHAPE, COUNT = (1, 3, 3), 1500
PIXELS = CategoricalPixels(2)
PAIRS = torch.tensor([0.4, 0.1, 0.1, 0.4])  # of two neighbours: 00, 01, 10, 11


def model_of(denoiser: Denoiser, shape: tuple[int, int, int] = SHAPE) -> Model:
    return Model(
        Chain(CategoricalKernel(2), denoiser, 0.5), PIXELS, shape, 0.01, torch.device("cpu")
    )


def prior(share: float) -> PixelPriorDenoiser:
    return PixelPriorDenoiser(torch.tensor([1 - share, share]).log().expand(*SHAPE, 2))


def images(share: float) -> Tensor:
    """Pixels that are white with that probability."""
    law = Categorical(torch.tensor([1 - share, share]).log().expand(COUNT, *SHAPE, 2))
    return PIXELS.to_uint8(law.sample(sample_noise(range(COUNT))))


def bits(*probabilities: float) -> float:
    return -sum(p * math.log2(p) for p in probabilities)


def z_score(found: CodeLength, expected: float) -> float:
    return abs(found.bits_per_dimension - expected) / found.standard_error


def test_the_exact_denoiser_needs_the_entropy_and_another_one_the_divergence_more() -> None:
    exact = code_length(model_of(prior(0.2)), images(0.2))
    assert (exact.images, exact.draws) == (COUNT, 16)
    assert z_score(exact, bits(0.2, 0.8)) < 4
    wrong = code_length(model_of(prior(0.6)), images(0.2))
    assert z_score(wrong, -0.2 * math.log2(0.6) - 0.8 * math.log2(0.4)) < 4


def pair_denoiser(x: Tensor, noise_level: Tensor) -> Categorical:
    """The exact p(z_i|x) of images (B, 1, 1, 2) whose two pixels are equal with probability 0.8."""
    assert len(noise_level) == len(x)
    other = x.flip(3)
    same = torch.full((*x.shape, 2), 0.1).scatter_(-1, other.clamp(max=1).unsqueeze(-1), 0.4) / 0.5
    probs = torch.where((other == 2).unsqueeze(-1), torch.tensor(0.5), same)
    return Categorical(probs.log())


def test_the_bound_is_tight_where_pixels_depend_on_each_other() -> None:
    law = Categorical(PAIRS.log().expand(COUNT, 1, 1, 1, 4))
    pair = law.sample(sample_noise(range(COUNT)))
    z = torch.cat([pair // 2, pair % 2], 3)
    found = code_length(model_of(pair_denoiser, (1, 1, 2)), PIXELS.to_uint8(z))
    truth = bits(*PAIRS.tolist()) / 2
    assert z_score(found, truth) < 4
    blind = PixelPriorDenoiser(torch.full((1, 1, 2, 2), 0.5).log())
    other = code_length(model_of(blind, (1, 1, 2)), PIXELS.to_uint8(z))
    assert other.bits_per_dimension > truth + 0.1


def test_batches_do_not_matter() -> None:
    some = images(0.3)[:10]
    whole, parts = (code_length(model_of(prior(0.3)), some, batch_size=n) for n in (10, 3))
    assert whole == parts


def test_what_has_no_such_bound_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        code_length(model_of(prior(0.2)), images(0.2)[:1])
    with pytest.raises(InputError, match="images must be of"):
        code_length(model_of(prior(0.2)), torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    exact = GaussianDenoiser(torch.tensor(0.0), torch.tensor(0.3))
    chain = Chain(ContinuousKernel(), exact, 0.5)
    model = Model(chain, ContinuousPixels(), SHAPE, 0.01, torch.device("cpu"))
    with pytest.raises(InputError, match="discrete pixels"):
        code_length(model, images(0.2))

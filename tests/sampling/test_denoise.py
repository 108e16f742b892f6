"""Denoising, its estimate of the level, and temperature, where the answer is known."""

import math

import pytest
import torch
from tables import each
from torch import Tensor
from toys import category_model, gaussian_model

from nkca.chain import Chain
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel, level_of_sigma, sigma_of_level
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.pixels import CategoricalPixels, ContinuousPixels
from nkca.sampling.denoise import denoise, estimate_level
from nkca.sampling.tasks import Schedule, draw_task, from_noise, run_task
from nkca.sampling.translate import translate

MEAN, STD = 0.1, 0.2


def model(size: int = 8) -> Model:
    shape = (3, size, size)
    exact = GaussianDenoiser(torch.full(shape, MEAN), torch.full(shape, STD))
    chain = Chain(ContinuousKernel(), exact, 0.5)
    return Model(chain, ContinuousPixels(), shape, 0.001, torch.device("cpu"))


def noisy(sigma: float, size: int = 8) -> tuple[Tensor, Tensor]:
    """Clean pixels and bytes of them with noise, sigma in units of states."""
    z, added = sample_noise([1, 2]).normal(torch.empty(2, 2, 3, size, size)).unbind(1)
    z = MEAN + STD * z
    return z, ContinuousPixels().to_uint8(z + sigma * added)


def test_the_picture_is_the_least_squares_estimate() -> None:
    for sigma in each((0.05, 0.2, 0.35)):
        _, image = noisy(sigma)
        level = level_of_sigma(sigma)
        made = draw_task(model(), denoise(image, level, [0, 1]), Schedule())
        share = STD**2 / (STD**2 + sigma**2)
        u = ContinuousPixels().to_state(image)
        expected = ContinuousPixels().to_uint8(MEAN + share * (u - MEAN))
        assert (made.int() - expected.int()).abs().max() <= 1
        other = draw_task(model(), denoise(image, level / 2, [0, 1]), Schedule())
        assert (other.int() - expected.int()).abs().max() > 1


def test_a_walk_down_follows_the_flow() -> None:
    """Which takes an image as many standard deviations from the mean of the data as it was."""
    _, image = noisy(0.2)
    way = Schedule(num_steps=20, ladder="sigma", sampler="heun")
    made = draw_task(model(), denoise(image, level_of_sigma(0.2), [0, 1]), way)
    u = ContinuousPixels().to_state(image)
    a, b = 1 - 0.001, 0.001
    end = (a * STD**2 / math.sqrt(a**2 * STD**2 + b)) / math.sqrt(STD**2 + 0.2**2)
    expected = ContinuousPixels().to_uint8(MEAN + end * (u - MEAN))
    assert (made.int() - expected.int()).abs().max() <= 1
    mean = draw_task(model(), denoise(image, level_of_sigma(0.2), [0, 1]), Schedule())
    assert (made.int() - mean.int()).abs().max() > 5


def test_the_level_is_found() -> None:
    for sigma in each((0.1, 0.2, 0.5)):
        _, images = noisy(sigma, size=32)
        found = [sigma_of_level(estimate_level(model(32), image)) for image in images]
        assert max(abs(math.log(one / sigma)) for one in found) < 0.25
    clean = ContinuousPixels().to_uint8(torch.full((3, 32, 32), MEAN))
    assert sigma_of_level(estimate_level(model(32), clean)) < 0.05


def test_translation_starts_at_its_level_and_holds_the_coarse_structure() -> None:
    image = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    image = image.to(torch.uint8)
    few = Schedule(num_steps=5)
    free, led = (draw_task(model(), translate(image, [0, 1], s), few) for s in (None, 2))
    blocks = [p.double().unfold(2, 2, 2).unfold(3, 2, 2).sum((4, 5)) for p in (image, free, led)]
    assert torch.equal(blocks[0], blocks[2])
    assert not torch.equal(blocks[0], blocks[1])
    first, *_ = run_task(model(), translate(image, [0, 1]), few)
    assert first.noise_level == 0.6


def test_temperature_scales_the_noise_of_start_and_transitions() -> None:
    count = 500
    for t in each((0.5, 1.0, 1.5)):
        way = Schedule(num_steps=30, temperature=t)
        *_, last = run_task(model(), from_noise(range(count)), way)
        a, b = 1 - 0.001, 0.001
        deviation = (last.x.mean().item() - a * MEAN) / STD
        assert abs(deviation) < 0.05
        assert abs(last.x.std().item() / math.sqrt(a**2 * STD**2 + b) / t - 1) < 0.02


def test_temperature_divides_logits() -> None:
    log_probs = torch.tensor([0.5, 0.3, 0.2]).log().expand(1, 20, 20, 3)
    chain = Chain(CategoricalKernel(3), PixelPriorDenoiser(log_probs), 0.9)
    levels = Model(chain, CategoricalPixels(3), (1, 20, 20), 0.01, torch.device("cpu"))
    for t in each((0.5, 1.0, 2.0)):
        way = Schedule(num_steps=20, temperature=t, sampler="ancestral")
        *_, last = run_task(levels, from_noise(range(20)), way)
        seen = last.x[last.x < 3]
        found = torch.bincount(seen, minlength=3) / len(seen)
        expected = (log_probs[0, 0, 0] / t).softmax(-1)
        assert (found - expected).abs().max() < 4 * 0.5 / math.sqrt(len(seen))
        assert t == 1 or (found - log_probs[0, 0, 0].exp()).abs().max() > 0.05


def test_a_temperature_of_one_changes_no_bit() -> None:
    ways = Schedule(), Schedule(temperature=1), Schedule(temperature=0.9)
    plain, one, other = (draw_task(gaussian_model(0.2), from_noise([3]), way) for way in ways)
    assert torch.equal(plain, one)
    assert not torch.equal(plain, other)


def test_what_makes_no_sense_is_one_line() -> None:
    image = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    for level in each((0.0, 1.0, -0.1, math.nan)):
        with pytest.raises(InputError, match="above 0 and below 1"):
            denoise(image, level, [0])
    for t in each((0.0, -1.0, math.inf, math.nan)):
        with pytest.raises(InputError, match="temperature must be above 0 and finite"):
            Schedule(temperature=t)
    with pytest.raises(InputError, match="has categories"):
        draw_task(category_model(), denoise(image, 0.1, [0]), Schedule())
    with pytest.raises(InputError, match="has categories"):
        estimate_level(category_model(), image[0])

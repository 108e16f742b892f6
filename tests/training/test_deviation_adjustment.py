"""Adjusting the deviation alone: a chain that is right, too narrow, too wide."""

import math

import pytest
import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.noise import sample_noise
from nkca.training.denoising import denoising
from nkca.training.deviation_adjustment import deviation_adjustment

COUNT, STD, LEVEL, LAG = 6000, 1.0, 0.4, 0.0  # where s is a third of a step's variance


def data() -> Tensor:
    return STD * sample_noise(range(9000, 9000 + COUNT)).normal(torch.empty(COUNT, 1, 1, 2))


def gradient_by_deviation(factor: float, mean_factor: float = 1.0) -> tuple[Tensor, Tensor]:
    """Per image, of the loss by a factor of s and one of the mean, at those factors of the truth."""
    exact = GaussianDenoiser(torch.tensor(0.0), torch.tensor(STD))
    of_std = torch.full((COUNT, 1, 1, 1), factor, requires_grad=True)
    of_mean = torch.full((COUNT, 1, 1, 1), mean_factor, requires_grad=True)

    def scaled(x: Tensor, noise_level: Tensor) -> Normal:
        p_z = exact(x, noise_level)
        return Normal(of_mean * p_z.mean, of_std * p_z.std)

    chain = Chain(ContinuousKernel(), scaled, LAG)
    terms = deviation_adjustment(STD)(
        chain, data(), torch.full((COUNT,), LEVEL), sample_noise(range(COUNT))
    )
    torch.autograd.backward(terms.loss.sum())
    assert of_std.grad is not None
    assert of_mean.grad is not None
    return of_std.grad.flatten(), of_mean.grad.flatten()


def z_score(values: Tensor) -> float:
    return float(values.mean() / (values.std() / math.sqrt(len(values))))


def test_the_deviation_that_keeps_the_variance_is_the_minimum() -> None:
    assert abs(z_score(gradient_by_deviation(1.0)[0])) < 4
    assert z_score(gradient_by_deviation(1.4)[0]) > 6
    assert z_score(gradient_by_deviation(0.6)[0]) < -6


def test_the_mean_learns_by_denoising_alone() -> None:
    """Its gradient is that of the squared error, and knows nothing of the deviation or of the way back."""
    _, by_mean = gradient_by_deviation(1.0, 1.3)
    assert torch.equal(by_mean, gradient_by_deviation(2.0, 1.3)[1])
    assert z_score(by_mean) > 6
    assert abs(z_score(gradient_by_deviation(1.0, 1.0)[1])) < 4


def test_what_is_shown_for_the_exact_chain() -> None:
    exact = GaussianDenoiser(torch.tensor(0.0), torch.tensor(STD))
    chain, b = Chain(ContinuousKernel(), exact, LAG), torch.full((COUNT,), LEVEL)
    shown = deviation_adjustment(STD)(chain, data(), b, sample_noise(range(COUNT))).shown
    assert abs(z_score(shown["entropy_production"])) < 4  # a reversible chain
    assert abs(z_score(shown["squared_error"] - 1)) < 4
    same = denoising(STD)(chain, data(), b, sample_noise(range(COUNT))).shown
    assert torch.equal(same["squared_error"], shown["squared_error"])


def test_categories_are_refused() -> None:
    kernel = CategoricalKernel(3)
    exact = PixelPriorDenoiser(torch.zeros(1, 1, 2, 3).log_softmax(-1))
    with pytest.raises(InputError, match="continuous pixels"):
        deviation_adjustment(0.5)(
            Chain(kernel, exact, 0.9),
            torch.zeros(2, 1, 1, 2, dtype=torch.int64),
            torch.full((2,), 0.5),
            sample_noise([1, 2]),
        )

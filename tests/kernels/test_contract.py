"""p(y|x, z) is p(y|x) for a posterior that is certain of z; the means of posteriors, by hand."""

import itertools
import math

import torch
from tables import each

from nkca.distributions.categorical import Categorical
from nkca.distributions.image_list import ImageList
from nkca.distributions.normal import Normal
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel, log_sigma, signal

LEVELS = [(0.5, 0.5), (0.9, 0.3), (0.2, 0.6), (1.0, 0.99)]
LAGS = [0.0, 0.5, 0.95]
SHAPE = (3, 2, 4, 4)
K = 4


def test_continuous_transition_given_z() -> None:
    generator = torch.Generator().manual_seed(0)
    x, z = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    kernel = ContinuousKernel()
    for (b_x, b_y), lag in each(itertools.product(LEVELS, LAGS)):
        levels = (torch.full((3,), b_x), torch.full((3,), b_y))
        given = kernel.transition_given(x, *levels, z, lag)
        pushed = kernel.transition(x, *levels, Normal(z, torch.zeros(())), lag)
        assert isinstance(pushed, Normal)
        torch.testing.assert_close(given.mean, pushed.mean)
        torch.testing.assert_close(given.std, pushed.std)
        assert not torch.equal(given.mean, kernel.transition_given(x, *levels, z + 1, lag).mean)


def test_categorical_transition_given_z() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randint(0, K, SHAPE, generator=generator)
    x, y = (torch.randint(0, K + 1, SHAPE, generator=generator) for _ in range(2))
    kernel = CategoricalKernel(K)
    certain = Categorical(torch.full((*SHAPE, K), -math.inf).scatter(-1, z.unsqueeze(-1), 0.0))
    for (b_x, b_y), lag in each(itertools.product(LEVELS, LAGS)):
        levels = (torch.full((3,), b_x), torch.full((3,), b_y))
        given = kernel.transition_given(x, *levels, z, lag)
        pushed = kernel.transition(x, *levels, certain, lag)
        torch.testing.assert_close(given.log_prob(y), pushed.log_prob(y))
        torch.testing.assert_close(given.log_prob(z), pushed.log_prob(z))
        assert given.log_prob(z).isfinite().all()


def test_the_means_of_posteriors() -> None:
    levels = Categorical(torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(2, 1, 1, 1, K))
    torch.testing.assert_close(levels.mean, torch.full((2, 1, 1, 1), 2.0))
    images = torch.tensor([[[[0.0]]], [[[4.0]]]]).unsqueeze(0)
    mixed = ImageList(torch.tensor([[0.25, 0.75], [1.0, 0.0]]).log(), images)
    torch.testing.assert_close(mixed.mean, torch.tensor([3.0, 0.0]).view(2, 1, 1, 1))
    normal = Normal(torch.full((2, 1, 1, 1), 0.5), torch.ones(()))
    assert torch.equal(normal.mean, normal.mode())


def test_signal_and_sigma() -> None:
    b = torch.tensor([0.5, 0.2])
    torch.testing.assert_close(signal(b), torch.tensor([0.5, 0.8]))
    torch.testing.assert_close(log_sigma(b).exp(), torch.tensor([0.5**0.5 / 0.5, 0.2**0.5 / 0.8]))
    assert log_sigma(torch.ones(1)).isfinite()

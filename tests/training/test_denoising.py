"""The denoising objective at the truth and beside it; levels with a log-normal sigma."""

import math

import pytest
import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.exact import GaussianDenoiser, PixelPriorDenoiser
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel, log_sigma
from nkca.noise import sample_noise
from nkca.training.denoising import denoising
from nkca.training.level_draws import log_normal
from nkca.training.objective import Terms

COUNT, STD = 4000, 0.3
LEVELS = (0.02, 0.3, 0.7)


def data() -> Tensor:
    """Independent normal pixels of standard deviation `STD` and mean 0, (COUNT, 1, 2, 2)."""
    return STD * sample_noise(range(7000, 7000 + COUNT)).normal(torch.empty(COUNT, 1, 2, 2))


def terms_of(denoiser: object, level: float) -> Terms:
    chain = Chain(ContinuousKernel(), denoiser, 0.5)  # type: ignore[arg-type]
    return denoising(STD)(chain, data(), torch.full((COUNT,), level), sample_noise(range(COUNT)))


def test_the_linear_denoiser_of_normal_data_has_an_error_of_one_at_every_level() -> None:
    exact = GaussianDenoiser(torch.tensor(0.0), torch.tensor(STD))
    for level in LEVELS:
        error = terms_of(exact, level).shown["squared_error"]
        assert abs(error.mean() - 1) < 4 * error.std() / math.sqrt(COUNT)


@pytest.mark.parametrize("level", LEVELS)
def test_the_truth_is_the_minimum_in_mean_and_in_deviation(level: float) -> None:
    """The gradient by a factor of the mean, and by one of s, vanishes at 1, and only there."""
    exact = GaussianDenoiser(torch.tensor(0.0), torch.tensor(STD))

    def gradients(at_mean: float, at_std: float) -> tuple[Tensor, Tensor]:
        """Per image, of the loss by both factors."""
        factors = [torch.full((COUNT, 1, 1, 1), f, requires_grad=True) for f in (at_mean, at_std)]

        def scaled(x: Tensor, b: Tensor) -> Normal:
            p_z = exact(x, b)
            return Normal(factors[0] * p_z.mean, factors[1] * p_z.std)

        torch.autograd.backward(terms_of(scaled, level).loss.sum())
        by_mean, by_std = (f.grad for f in factors)
        assert by_mean is not None
        assert by_std is not None
        return by_mean.flatten(), by_std.flatten()

    def z_score(values: Tensor) -> float:
        return float(values.mean() / (values.std() / math.sqrt(COUNT)))

    assert all(abs(z_score(g)) < 4 for g in gradients(1.0, 1.0))
    assert z_score(gradients(1.5, 1.0)[0]) > 6
    assert z_score(gradients(1.0, 1.5)[1]) > 6
    assert z_score(gradients(1.0, 0.7)[1]) < -6
    # the mean does not learn from the likelihood: its gradient knows nothing of s
    assert torch.equal(gradients(1.5, 1.0)[0], gradients(1.5, 3.0)[0])


def test_categories_are_refused() -> None:
    kernel = CategoricalKernel(3)
    exact = PixelPriorDenoiser(torch.zeros(1, 2, 2, 3).log_softmax(-1))
    chain = Chain(kernel, exact, 0.9)
    z = torch.zeros(2, 1, 2, 2, dtype=torch.int64)
    with pytest.raises(InputError, match="continuous pixels"):
        denoising(0.5)(chain, z, torch.full((2,), 0.5), sample_noise([1, 2]))


def test_log_normal_levels_have_the_mean_and_deviation_asked_for() -> None:
    levels = log_normal(-1.2, 1.3, 1e-6)(sample_noise(range(COUNT)), torch.device("cpu"))
    assert levels.shape == (COUNT,)
    assert levels.dtype == torch.float32
    assert ((levels > 0) & (levels < 1)).all()
    drawn = log_sigma(levels.double())
    assert abs(drawn.mean() + 1.2) < 4 * 1.3 / math.sqrt(COUNT)
    assert abs(drawn.std() - 1.3) < 4 * 1.3 / math.sqrt(2 * COUNT)
    assert log_normal(-1.2, 1.3, 0.05)(
        sample_noise(range(99)), torch.device("cpu")
    ).min() == torch.tensor(0.05)

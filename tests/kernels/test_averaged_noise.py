"""Steps that share noise: what they keep exactly, at one level and between levels."""

import itertools

import torch
from tables import each
from torch import Tensor

from nkca.chain import Chain, run
from nkca.denoisers.contract import Denoiser
from nkca.denoisers.exact import GaussianDenoiser
from nkca.distributions.normal import Normal
from nkca.kernels.averaged_noise import averaged_step
from nkca.kernels.continuous import ContinuousKernel, signal
from nkca.levels import anneal
from nkca.noise import sample_noise

KERNEL = ContinuousKernel()
CHAINS, PIXELS = 400, 500
LEVELS = (0.01, 0.3, 0.6, 1.0)


def normals(seed: int) -> Tensor:
    return torch.randn(CHAINS, 1, 1, PIXELS, generator=torch.Generator().manual_seed(seed)).double()


def level(b: float) -> Tensor:
    return torch.full((CHAINS,), b).double()


def test_a_known_image_stays_noised_to_the_level_between_any_two() -> None:
    """The covariance of state and draw is what the next step assumes, so the law holds step after step."""
    z = torch.tensor(0.7).double()
    for b_x, b_y, lag in each(itertools.product(LEVELS, LEVELS, (0.0, 0.5, 0.95))):
        shared = ((1 - lag) * b_x / 2) ** 0.5
        draw = normals(0)
        x = (1 - b_x) * z + shared * draw + (b_x - shared**2) ** 0.5 * normals(1)
        fresh = normals(2)
        y = averaged_step(x, (level(b_x), level(b_y)), z.expand_as(x), lag, (draw, fresh))
        noise = (y - (1 - b_y) * z) / b_y**0.5
        assert abs(noise.mean()) < 0.02
        assert abs(noise.square().mean() - 1) < 0.02
        assert abs((noise * fresh).mean() - ((1 - lag) / 2) ** 0.5) < 0.02


def point(std: float) -> Denoiser:
    """Knows the mean of p(z|x) and no deviation, as if z were certain."""
    exact = GaussianDenoiser(torch.tensor(0.0), torch.tensor(std))

    def denoise(x: Tensor, noise_level: Tensor) -> Normal:
        p_z = exact(x, noise_level)
        return Normal(p_z.mean, torch.zeros_like(p_z.std))

    return denoise


def variance_kept(chain: Chain, std: float, b: float, steps: int) -> float:
    """The variance of states of normal data after a walk, as a share of the noised data's."""
    expected = (signal(torch.tensor(b)) ** 2 * std**2 + b).item()
    noise = sample_noise(range(CHAINS))
    x = expected**0.5 * noise.normal(torch.zeros(CHAINS, 1, 1, PIXELS))
    *_, last = run(chain, x, [b] * (steps + 1), noise)
    return float(last.x.var() / expected)


def test_normal_data_keep_their_variance_at_any_lag_which_fresh_noise_loses() -> None:
    for std, b, lag in each([(1.0, 0.1, 0.0), (1.0, 0.1, 0.5), (1.0, 0.6, 0.5), (0.1, 0.3, 0.0)]):
        averaged = Chain(KERNEL, point(std), lag, averages_noise=True)
        assert abs(variance_kept(averaged, std, b, 120) - 1) < 0.015
    fresh = Chain(KERNEL, point(1.0), 0.5)
    assert 0.7 < variance_kept(fresh, 1.0, 0.1, 120) < 0.85  # (1 + w) / 2 where variance is large


def test_an_anneal_arrives_at_the_law_of_the_data() -> None:
    chain = Chain(KERNEL, point(0.5), 0.5, averages_noise=True)
    noise = sample_noise(range(CHAINS))
    x = KERNEL.prior((CHAINS, 1, 1, PIXELS)).sample(noise)
    *_, last = run(chain, x, anneal(1.0, 0.001, 100), noise)
    assert abs(last.x.std() / 0.5 - 1) < 0.05

"""Denoising: the mean of p(z|x) by weighted least squares, its standard deviation by likelihood.

    loss = lambda(b) |mean - z|² / 2 - 0.01 log N(z; mean without gradient, s)        summed over pixels

lambda is 1 over the variance of the best linear denoiser's error, so that all levels count alike (Karras
et al. 2022, arXiv 2206.00364). A likelihood of mean and s together would weigh each pixel by the network's
own 1 / s², and learns the mean far worse. The gradient of the likelihood by ln(s), 1 - (z - mean)² / s²,
has heavy tails: with its full weight it drowns that of the mean in the layers that both share. The rows of
the last layer that make s do not mind the small factor: Adam's updates do not depend on a gradient's scale.
"""

from torch import Tensor

from nkca.chain import Chain
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.continuous import linear_denoiser_variance
from nkca.noise import Noise
from nkca.training.objective import Objective, Terms

DEVIATION_WEIGHT = 0.01


def denoising(data_std: float) -> Objective:
    """The objective for data whose pixels have the standard deviation ``data_std``, in units of [-1, 1].

    Shown are the weighted squared error, 1 for the best linear denoiser, and -log p(z|x), per dimension.
    """

    def objective(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
        x = chain.kernel.add_noise(z, noise_level).sample(noise)
        p_z = normal_posterior(chain, x, noise_level)
        error = weighted_error(p_z, z, noise_level, data_std)
        surprise = -Normal(p_z.mean.detach(), p_z.std).log_prob(z)
        dimensions = z[0].numel()
        shown = {
            "squared_error": error.detach() / dimensions,
            "surprise": surprise.detach() / dimensions,
        }
        return Terms(error / 2 + DEVIATION_WEIGHT * surprise, shown)

    return objective


def normal_posterior(chain: Chain, x: Tensor, noise_level: Tensor) -> Normal:
    """p(z|x); raises `InputError` for categories."""
    p_z = chain.believe(x, noise_level)
    if not isinstance(p_z, Normal):
        raise InputError("denoising by least squares is for continuous pixels, not discrete")
    return p_z


def weighted_error(p_z: Normal, z: Tensor, noise_level: Tensor, data_std: float) -> Tensor:
    """lambda(b) |mean - z|², summed over pixels: (B,)."""
    variance = linear_denoiser_variance(noise_level, data_std)
    return (p_z.mean - z).square().flatten(1).sum(1) / variance

"""Contrastive adjustment of the standard deviation of p(z|x); its mean goes on denoising.

    loss = lambda(b) |mean(x) - z|² / 2 - 0.01 log p(x|y)        the means inside p(x|y) without gradient

Contrastive adjustment (Algorithm 2) does not identify z: a mean that subtracts too much noise fits as well,
if the deviation is larger, and the saved picture is that mean. Here the mean is held by least squares, and
the deviation is what makes the chain's steps as large as its way back says they are. For normal data with
the true linear mean that is exactly the deviation with which the chain keeps their variance: with
y = G x + e and V the variance of x, p(x|y) is most likely where var(e) = V (1 - G²), which keeps V.
"""

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.distributions.normal import Normal
from nkca.noise import Noise
from nkca.training.denoising import DEVIATION_WEIGHT, normal_posterior, weighted_error
from nkca.training.objective import Objective, Terms, shown_of_adjustment


def deviation_adjustment(data_std: float) -> Objective:
    """The objective for data whose pixels have the standard deviation ``data_std``, in units of [-1, 1].

    Shown, per dimension, are the weighted squared error as in `nkca.training.denoising.denoising`, and in
    nats loss above its floor and entropy production as in `nkca.training.objective.contrastive_adjustment`.
    """

    def objective(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
        b, dimensions = noise_level, z[0].numel()
        x = chain.kernel.add_noise(z, b).sample(noise)
        p_z = normal_posterior(chain, x, b)
        error = weighted_error(p_z, z, b, data_std)
        with torch.no_grad():
            p_y = chain.move(x, b, b, Normal(p_z.mean.detach(), p_z.std.detach()))
            y = p_y.sample(noise)
            forward = p_y.log_prob(y)
        back = normal_posterior(chain, y, b)
        p_x = chain.move(y, b, b, Normal(back.mean.detach(), back.std))
        reverse = -p_x.log_prob(x)
        shown = {
            "squared_error": error.detach() / dimensions,
            **shown_of_adjustment(chain, b, dimensions, forward, reverse),
        }
        return Terms(error / 2 + DEVIATION_WEIGHT * reverse, shown)

    return objective

"""Denoising of categories: the cross-entropy of p(z|x) where noise scrambled, as in masked diffusion.

    loss = (1 / b) sum over scrambled i of -log p(z_i|x)  +  sum over the other i of -log p(z_i|x)

The second sum is 0 with carry-over, and teaches a network without it to copy. The mean of the first over
b ~ U(0, 1) is a bound on -log p(z), and equal to it where p(z_i|x) is exact (MD4: Shi et al. 2024, arXiv
2406.04329; MDLM: Sahoo et al. 2024, arXiv 2406.07524): one draw of it is the code length of a picture whose
pixels are told in a random order. With carry-over, contrastive adjustment is a constant plus the same
cross-entropy, on pixels that its own jump scrambled: the pixels around them are then partly the chain's.
"""

import math

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.distributions.categorical import Categorical
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.noise import Noise
from nkca.training.objective import Objective, Terms, reverse_loss, shown_of_adjustment


def masked_cross_entropy(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
    """The loss of clean states z int64 (B, C, H, W) at levels (B,), in nats summed over pixels.

    Shown is the first sum in bits per dimension. Raises `InputError` for continuous states.
    """
    x = chain.kernel.add_noise(z, noise_level).sample(noise)
    loss, bits = cross_entropy(chain, x, z, noise_level, believe(chain, x, noise_level))
    return Terms(loss, {"bits_per_dimension": bits})


def adjusted_and_masked(weight: float) -> Objective:
    """Contrastive adjustment plus ``weight`` times the loss above, with one evaluation for both at x."""

    def objective(chain: Chain, z: Tensor, noise_level: Tensor, noise: Noise) -> Terms:
        b, dimensions = noise_level, z[0].numel()
        x = chain.kernel.add_noise(z, b).sample(noise)
        p_z = believe(chain, x, b)
        clean_loss, bits = cross_entropy(chain, x, z, b, p_z)
        with torch.no_grad():
            p_y = chain.move(x, b, b, Categorical(p_z.log_probs.detach()))
            y = p_y.sample(noise)
            forward = p_y.log_prob(y)
        reverse = reverse_loss(chain, x, y, b)
        shown = {
            "bits_per_dimension": bits,
            **shown_of_adjustment(chain, b, dimensions, forward, reverse),
        }
        return Terms(reverse + weight * clean_loss, shown)

    return objective


def cross_entropy(
    chain: Chain, x: Tensor, z: Tensor, noise_level: Tensor, p_z: Categorical
) -> tuple[Tensor, Tensor]:
    """The loss above and its first sum in bits per dimension, (B,) each, the second without a gradient."""
    assert isinstance(chain.kernel, CategoricalKernel)
    surprise = -p_z.log_prob_per_pixel(z)
    is_scrambled = x == chain.kernel.num_classes
    scrambled = surprise.masked_fill(~is_scrambled, 0.0).flatten(1).sum(1) / noise_level
    others = surprise.masked_fill(is_scrambled, 0.0).flatten(1).sum(1)
    return scrambled + others, scrambled.detach() / z[0].numel() / math.log(2)


def believe(chain: Chain, x: Tensor, noise_level: Tensor) -> Categorical:
    """p(z|x); raises `InputError` unless it is one of categories."""
    p_z = chain.believe(x, noise_level)
    if not isinstance(p_z, Categorical):
        raise InputError("masked cross-entropy is for discrete pixels, not continuous")
    return p_z

r"""Denoising: an image with normal noise is a state of the chain, so p(z|x) is what it may have been.

Noise of standard deviation sigma in units of states (127.5 sigma grey levels) is that of level b where
sigma = sqrt(b) / a, a = 1 - b: x = a image. The posterior's mean is the least-squares estimate, in one
evaluation. A walk down from b, with steps, ends in one picture that it may have been: sharper, and further
from the truth in the mean.

`estimate_level` finds b where it is unknown. With z from p(z|x), of mean D and variance s²,

    E[(x - a z)²] = (x - a D)² + a² s²

has the mean b over pixels if the image has noise of level b, and a higher level gives less than it, as the
noise that it looks for is not there. So b is the highest level that gives what it should: a fixed point of
expectation maximisation. Files cut noise off at black and white; pixels whose D is within sigma of either
are left out, where others are left.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.continuous import level_of_sigma
from nkca.models.model import Model
from nkca.noise import Noise
from nkca.sampling.known import check_continuous
from nkca.sampling.tasks import Schedule, Task

DENOISING = Schedule(num_steps=0, guidance=1)
"""How images are denoised by default: the posterior's mean, which guidance would move."""

LEAST_SIGMA, MOST_SIGMA = 0.5 / 127.5, 2.0  # half a grey level; the whole range of pixels
TRIED = 16  # levels between them
LEAST_SHARE = 0.02  # of the pixels: what must be left where those near black and white are left out


def denoise(images: Tensor, level: float, seeds: Sequence[int]) -> Task:
    """What uint8 images (B, C, H, W), one a seed, were before noise of ``level`` in (0, 1) was added.

    Raises:
        InputError: for other levels, and where states are categories.
    """
    if not 0 < level < 1:
        raise InputError(f"the noise of an image must be above 0 and below 1, got {level}")

    def start(model: Model, schedule: Schedule, _noise: Noise) -> Tensor:
        check_continuous(model, "images with normal noise")
        return (1 - schedule.levels(model)[0]) * model.pixels.to_state(images.to(model.device))

    return Task(seeds, start, usual=Schedule(max_noise=level).completed(DENOISING))


@torch.inference_mode()
def estimate_level(model: Model, image: Tensor) -> float:
    """The level b whose noise uint8 (C, H, W) seems to have.

    It is sought among `TRIED` levels between `LEAST_SIGMA` and `MOST_SIGMA`, and interpolated.

    Raises:
        InputError: where states are categories.
    """
    check_continuous(model, "images with normal noise")
    ratio = (MOST_SIGMA / LEAST_SIGMA) ** (1 / (TRIED - 1))
    sigmas = [LEAST_SIGMA * ratio**number for number in range(TRIED)]
    b = torch.tensor([level_of_sigma(sigma) for sigma in sigmas], device=model.device)
    u = model.pixels.to_state(image[None].to(model.device))
    p_z = model.chain.believe((1 - b).view(-1, 1, 1, 1) * u, b)
    assert isinstance(p_z, Normal)
    errors = ((u - p_z.mean).square() + p_z.std.square()).flatten(1)
    excess = []
    for sigma, error, mean in zip(sigmas, errors, p_z.mean.flatten(1), strict=True):
        is_inside = mean.abs() < 1 - sigma
        counts = (
            is_inside if is_inside.float().mean() >= LEAST_SHARE else torch.ones_like(is_inside)
        )
        excess.append(math.log(error[counts].mean().item() / sigma**2))
    last = max((number for number in range(TRIED) if excess[number] >= 0), default=0)
    if excess[last] < 0 or last == TRIED - 1:
        return level_of_sigma(sigmas[last])
    share = excess[last] / (excess[last] - excess[last + 1])
    return level_of_sigma(sigmas[last] * ratio**share)

r"""Samplers by name: the chain itself, ancestral sampling of categories, and deterministic ones.

All deterministic samplers take steps of one kind. With lag 1 (capped at sqrt(b_y / b_x)) a transition to
a lower level adds no noise: in u = x / a and sigma = sqrt(b) / a it is

    u_y = z + (sigma_y / sigma_x) (u_x - z)

They differ in the estimate of z that they step to. With D the posterior's mean at the present state:

    ddim     D                                                  (Song et al. 2021, arXiv 2010.02502)
    heun     D + c (D' - D), D' the mean at the state that ddim would go to, c = 1 / (1 - exp(-h)) - 1 / h
             and h the step in ln(sigma): exact where D is linear in ln(sigma). Short steps have
             c = 1/2, which is Heun's method in sigma (Karras et al. 2022, arXiv 2206.00364); its
             factor for long steps, sigma_x / (2 sigma_y), has no bound
    dpm2m    D + (h / h_old) (D - D_old) / 2, h the step in ln(sigma)   (Lu et al. 2022, arXiv 2211.01095)
    ge       the z of the noise 2 e - e_old, e = (x - a D) / sqrt(b)    (Permenter and Yuan 2023,
             arXiv 2306.04848, gamma = 2)

Held pixels stay held: where D is the image in every step, so is each estimate.

Between two equal levels all samplers make a transition of the chain, with its noise: levels that repeat
are a walk at one level, which takes states that lie off the data's law back to it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nkca.chain import Chain, Moment, Sampler, run
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import MIN_SIGNAL, log_sigma
from nkca.noise import Noise

Estimate = Callable[[Moment, Moment | None, float], Tensor]
"""(this moment, the one before, the next level) -> the z to step to, (B, C, H, W)."""


def ddim(chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise) -> Iterator[Moment]:
    """First order: one evaluation a level. See `nkca.chain.run` for arguments and moments."""
    return _descend(chain, x, levels, noise, lambda here, _before, _level_y: here.p_z.mean)


def dpm2m(chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise) -> Iterator[Moment]:
    """Second order, from the mean of the step before: one evaluation a level."""

    def estimate(here: Moment, before: Moment | None, level_y: float) -> Tensor:
        mean = here.p_z.mean
        if before is None:
            return mean
        h = _log_sigma(here.noise_level) - _log_sigma(level_y)
        h_old = _log_sigma(before.noise_level) - _log_sigma(here.noise_level)
        return mean + h / (2 * h_old) * (mean - before.p_z.mean)

    return _descend(chain, x, levels, noise, estimate)


def gradient_estimation(
    chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise
) -> Iterator[Moment]:
    """First order, the noise extrapolated from the step before: one evaluation a level."""

    def estimate(here: Moment, before: Moment | None, _level_y: float) -> Tensor:
        if before is None:
            return here.p_z.mean
        extrapolated = 2 * _noise_in(here) - _noise_in(before)
        a = max(1 - here.noise_level, MIN_SIGNAL)
        return (here.x - math.sqrt(here.noise_level) * extrapolated) / a

    return _descend(chain, x, levels, noise, estimate)


def heun(chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise) -> Iterator[Moment]:
    """Second order: two evaluations a transition, so ``2 len(levels) - 1`` in all."""

    def estimate(here: Moment, _before: Moment | None, level_y: float) -> Tensor:
        mean = here.p_z.mean
        there = _step(chain, here, level_y, mean)
        h = _log_sigma(here.noise_level) - _log_sigma(level_y)
        share = 0.5 + h / 12 if h < 1e-3 else -1 / math.expm1(-h) - 1 / h
        return mean + share * (chain.believe(there, _levels(there, level_y)).mean - mean)

    return _descend(chain, x, levels, noise, estimate)


def ancestral(chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise) -> Iterator[Moment]:
    """Categories with the lag capped alone: a step down draws some scrambled pixels and scrambles none.

    With carry-over that is ancestral sampling of masked diffusion: what is drawn stays, unless levels
    repeat, where the chain walks (remasking: Wang et al. 2025, arXiv 2503.00307).
    """
    if not isinstance(chain.kernel, CategoricalKernel):
        raise InputError("the sampler 'ancestral' is for categories, not continuous states")
    descent = replace(chain, lag=1.0)
    for step, level in enumerate(levels):
        level_x = _levels(x, level)
        p_z = chain.believe(x, level_x)
        yield Moment(step, level, x, p_z)
        if step + 1 < len(levels):
            walks = levels[step + 1] == level
            level_y = _levels(x, levels[step + 1])
            x = (chain if walks else descent).move(x, level_x, level_y, p_z).sample(noise)


SAMPLERS: Mapping[str, Sampler] = {
    "chain": run,
    "ancestral": ancestral,
    "ddim": ddim,
    "heun": heun,
    "dpm2m": dpm2m,
    "ge": gradient_estimation,
}

DRAW_NOISE = ("chain", "ancestral")
"""Those that draw noise on the way; of the others a picture is a function of where they start."""


def _descend(
    chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise, estimate: Estimate
) -> Iterator[Moment]:
    """Step without noise from level to level, each time to an estimate of z; walk where levels repeat."""
    before, carried = None, None
    for step, level in enumerate(levels):
        level_x = _levels(x, level)
        here = Moment(step, level, x, chain.believe(x, level_x))
        yield here
        if step + 1 == len(levels):
            return
        if levels[step + 1] == level:
            x, carried = chain.step(x, (level_x, level_x), here.p_z, noise, carried)
            before = None
        else:
            x = _step(chain, here, levels[step + 1], estimate(here, before, levels[step + 1]))
            before, carried = here, None


def _step(chain: Chain, here: Moment, level_y: float, z: Tensor) -> Tensor:
    x = here.x
    level_x = _levels(x, here.noise_level)
    p_y = chain.kernel.transition_given(x, level_x, _levels(x, level_y), z, lag=1.0)
    if not isinstance(p_y, Normal):
        raise InputError(
            "deterministic samplers are for continuous states; use 'chain' or 'ancestral'"
        )
    return p_y.mean


def _noise_in(moment: Moment) -> Tensor:
    """e = (x - a D) / sqrt(b)."""
    b = moment.noise_level
    return (moment.x - (1 - b) * moment.p_z.mean) / math.sqrt(b)


def _levels(x: Tensor, level: float) -> Tensor:
    return torch.full((len(x),), level, device=x.device)


def _log_sigma(level: float) -> float:
    return log_sigma(torch.tensor(level, dtype=torch.float64)).item()

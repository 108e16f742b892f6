"""Ladders: which noise levels a sampler passes.

`nkca.levels.anneal`, the paper's, goes down linearly in b. `sigma_ladder` goes down in sigma = sqrt(b) / a,
the noise in units of the signal, with most steps where sigma is small (Karras et al. 2022,
arXiv 2206.00364, Eq. 5): pictures get their detail there.
"""

from collections.abc import Callable, Mapping

from nkca.kernels.continuous import level_of_sigma, sigma_of_level
from nkca.levels import anneal, check_anneal

Ladder = Callable[[float, float, int], list[float]]
"""(highest level, lowest level, transitions) -> levels, one more than transitions."""

RHO = 7.0  # how much denser the steps become where sigma is small
MAX_SIGMA = 80.0  # where a ladder from level 1 begins: 1.2 % of the signal are left


def sigma_ladder(max_noise: float, min_noise: float, num_steps: int) -> list[float]:
    """Levels whose sigma to the power 1 / 7 falls linearly, ``num_steps + 1`` of them.

    At level 1 sigma is infinite: a ladder from there begins at sigma 80, level 0.988, where noised images
    differ from N(0, 1) by less than a hundredth of a standard deviation.

    Raises:
        InputError: unless 0 < min_noise <= max_noise <= 1 and num_steps >= 0.
    """
    check_anneal(max_noise, min_noise, num_steps)
    high, low = (min(sigma_of_level(b), MAX_SIGMA) for b in (max_noise, min_noise))
    roots = [high ** (1 / RHO), low ** (1 / RHO)]
    if num_steps == 0:
        return [level_of_sigma(high)]
    between = [
        level_of_sigma((roots[0] + i / num_steps * (roots[1] - roots[0])) ** RHO)
        for i in range(num_steps)
    ]
    return [*between, level_of_sigma(low)]


LADDERS: Mapping[str, Ladder] = {"linear": anneal, "sigma": sigma_ladder}

r"""Steps of the continuous chain whose noise is the average of two draws, one of them from the step before.

A transition of the continuous kernel is an Euler step of Langevin dynamics: with D the mean of p(z|x) and
a D - x = b grad log p(x), the mean of y is x + h grad log p(x), h = (1 - w) b. With fresh noise the states
keep the data's law only to first order in h: of normal data of large variance a fraction (1 - w) / 2 of the
variance is lost, and that loss is how a walk forgets kinds of pictures. With noise that two steps share,

    y = w x + (1 - w) a D + sqrt(h / 2) (r + r'),        r' is the r of the next step,

states of normal data keep their law exactly, for any lag, also 0 (Leimkuhler and Matthews 2013,
doi:10.1093/amrx/abs010), and of other data to second order in h. It takes one evaluation as before.

Between levels: l = sqrt((1 - w) b / 2) is the covariance of state and r, and in

    y = w' x + (a_y - a_x w') D + k r + l_y r',        k = -w' l_x + sqrt((1 + w) (b_y - w'² b_x) / 2)

k is such that y is a noised z at b_y wherever D is z; w' = min(w, sqrt(b_y / b_x)) as in the kernel.

At the start of a walk no step has drawn an r. As r is a share rho = sqrt((1 - w) / 2) of the noise in x,

    r = rho (x - a D) / sqrt(b) + sqrt(1 - rho²) N(0, 1)
"""

from torch import Tensor

from nkca.kernels.continuous import MIN_NOISE_LEVEL, signal
from nkca.kernels.contract import Lag
from nkca.levels import expand


def first_draw(x: Tensor, level_x: Tensor, z: Tensor, lag: Lag, normal: Tensor) -> Tensor:
    """The r of states x (B, C, H, W) that no step led to; ``normal`` is N(0, 1) as x."""
    b = expand(level_x, x).clamp(min=MIN_NOISE_LEVEL)
    share = (1 - lag) / 2
    noise_in_x: Tensor = (x - signal(b) * z) / b.sqrt()
    return share**0.5 * noise_in_x + (1 - share) ** 0.5 * normal


def averaged_step(
    x: Tensor, levels: tuple[Tensor, Tensor], z: Tensor, lag: Lag, draws: tuple[Tensor, Tensor]
) -> Tensor:
    """The state y after x, float (B, C, H, W).

    Args:
        levels: of x and of y, (B,) each.
        z: the mean of p(z|x), as x.
        draws: N(0, 1) as x: that which the step to x drew, and a fresh one.
    """
    b_x, b_y = (expand(level, x).clamp(min=MIN_NOISE_LEVEL) for level in levels)
    w = (b_y / b_x).sqrt().clamp(max=lag)
    shared_x, shared_y = ((1 - lag) * b_x / 2).sqrt(), ((1 - lag) * b_y / 2).sqrt()
    carried = ((1 + lag) * (b_y - w.square() * b_x).clamp(min=0) / 2).sqrt() - w * shared_x
    mean = w * x + (signal(b_y) - w * signal(b_x)) * z
    return mean + carried * draws[0] + shared_y * draws[1]

r"""Means of blocks of pixels are known: the coarse structure of a picture, or a small picture.

Row j of A is 1/n over the n = side² pixels of a block, so rows are disjoint and A S Aᵀ is diagonal. With
v the variances in a block and d what its mean lacks,

    mean of z_i = mu_i + v_i n d / sum(v),        cov of z_i, z_j = v_i [i = j] - v_i v_j / sum(v)

Pixels that the denoiser is unsure of take most of what is lacking.
"""

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from nkca.denoisers.condition import Condition
from nkca.denoisers.conditions.linear import known
from nkca.distributions.measurement import Operator
from nkca.errors import InputError


def block_means(z: Tensor, side: int) -> Tensor:
    """The means of blocks of side x side pixels: (B, C, H, W) -> (B, C, H / side, W / side).

    Raises:
        InputError: unless ``side`` divides H and W.
    """
    height, width = z.shape[-2:]
    if side < 1 or height % side or width % side:
        fitting = [n for n in range(2, min(height, width)) if not height % n and not width % n]
        raise InputError(
            f"blocks of {side} pixels do not divide {height}x{width}: use one of "
            f"{', '.join(map(str, fitting))}"
        )
    return avg_pool2d(z, side)


def hold_block_means(means: Tensor, side: int, noise_std: float = 0.0) -> Condition:
    """The condition that blocks of side x side pixels have these means.

    Args:
        means: (B or 1, C, H / side, W / side) float, in units of states.
        noise_std: of the means; 0: they are exact.
    """
    size = means.shape[1:]

    def spread(rows: Tensor) -> Tensor:
        blocks = rows.view(-1, *size) / side**2
        return interpolate(blocks, scale_factor=float(side), mode="nearest")

    operator = Operator(lambda z: avg_pool2d(z, side).flatten(1), spread, is_disjoint=True)
    return known(operator, means.flatten(1), noise_std)

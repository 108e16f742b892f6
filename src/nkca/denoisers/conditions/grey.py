r"""Grey values are known, and colours are to be found.

A is Pillow's conversion to "L" (ITU-R 601-2 luma) before its rounding, one row a pixel:

    grey = 0.299 R + 0.587 G + 0.114 B,        in 65,536ths: 19595, 38470, 7471

Rows are disjoint, so a channel c of variance v_c takes w_c v_c / sum(w² v) of what its pixel lacks. The
weights add up to 1: states and bytes have the same conversion.
"""

import torch
from torch import Tensor

from nkca.denoisers.condition import Condition
from nkca.denoisers.conditions.linear import known
from nkca.distributions.measurement import Operator
from nkca.errors import InputError

LUMA = (19595, 38470, 7471)  # in 65,536ths


def grey(z: Tensor) -> Tensor:
    """The grey values (B, 1, H, W) of states z (B, 3, H, W), float."""
    return (z * _weights(z)).sum(1, keepdim=True)


def hold_grey(values: Tensor, noise_std: float = 0.0) -> Condition:
    """The condition that pixels of three channels have these grey values.

    Args:
        values: (B or 1, 1, H, W) float, in units of states.
        noise_std: of the grey values; 0: they are exact.

    Raises:
        InputError: if the values have several channels.
    """
    if values.ndim != 4 or values.shape[1] != 1:
        raise InputError(f"grey values must be (B, 1, H, W), got {tuple(values.shape)}")
    size = values.shape[1:]
    operator = Operator(
        lambda z: grey(z).flatten(1),
        lambda rows: rows.view(-1, *size) * _weights(rows),
        is_disjoint=True,
    )
    return known(operator, values.flatten(1), noise_std)


def _weights(like: Tensor) -> Tensor:
    return (torch.tensor(LUMA, dtype=like.dtype, device=like.device) / 65536).view(1, 3, 1, 1)

r"""Any linear measurement of z as a condition: y = A z, or y = A z + N(0, tau²).

The posterior that it gives is exact for the posterior that it is given: of independent normals see
`nkca.distributions.linear_gaussian`, of a list of images those that agree with y. Several measurements,
and pixels that are held, are conditioned on together, in any order.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nkca.denoisers.condition import Condition
from nkca.distributions.contracts import Posterior
from nkca.distributions.linear_gaussian import LinearGaussian
from nkca.distributions.measurement import Measurable, Measurement, Operator
from nkca.distributions.normal import Normal
from nkca.errors import InputError, require


def observe(
    operator: Tensor | Callable[[Tensor], Tensor],
    value: Tensor,
    shape: tuple[int, int, int],
    noise_std: float = 0.0,
) -> Condition:
    """The condition that A z is ``value``, but for noise of a known standard deviation.

    Args:
        operator: A, a matrix (M, C H W), or a linear function of states (B, C, H, W) that PyTorch can
            differentiate; it returns (B, ...).
        value: y, (B or 1, ...) float, in units of states.
        shape: of one state, (C, H, W).
        noise_std: tau, 0 or more.

    Raises:
        InputError: if A does not fit the states or y, or a function is not linear.
    """
    rows = value.flatten(1)
    linear = (
        _of_matrix(operator, shape)
        if isinstance(operator, Tensor)
        else _of_function(operator, shape)
    )
    nothing = linear.forward(torch.zeros(1, *shape, dtype=value.dtype, device=value.device))
    if nothing.shape[1] != rows.shape[1]:
        raise InputError(f"A z has {nothing.shape[1]} numbers, but the value has {rows.shape[1]}")
    if nothing.any():
        raise InputError("the operator is not linear: it must map 0 to 0")
    return known(linear, rows, noise_std)


def known(operator: Operator, value: Tensor, noise_std: float = 0.0) -> Condition:
    """The condition of a measurement whose value (B or 1, M) the operator may have given.

    Raises:
        InputError: if the value is not finite or the noise is negative.
    """
    require(bool(value.isfinite().all()), "a measurement", "finite", "numbers that are not")
    require(math.isfinite(noise_std) and noise_std >= 0, "noise_std", "0 or more", noise_std)
    measurement = Measurement((operator,), (value,), (noise_std,))

    def condition(p_z: Posterior) -> Posterior:
        if isinstance(p_z, Normal):
            return LinearGaussian(p_z, measurement)
        if isinstance(p_z, Measurable):
            return p_z.measured(measurement)
        raise InputError(
            "a linear measurement, such as of grey values, is of continuous pixels, not of categories"
        )

    return condition


def _of_matrix(matrix: Tensor, shape: tuple[int, int, int]) -> Operator:
    if matrix.ndim != 2 or matrix.shape[1] != math.prod(shape):
        expected = f"(M, {math.prod(shape)})"
        raise InputError(f"the matrix must be {expected}, got {tuple(matrix.shape)}")
    return Operator(
        lambda z: z.flatten(1) @ matrix.to(z).T,
        lambda rows: (rows @ matrix.to(rows)).view(-1, *shape),
    )


def _of_function(function: Callable[[Tensor], Tensor], shape: tuple[int, int, int]) -> Operator:
    def adjoint(rows: Tensor) -> Tensor:
        """The gradient of <A z, rows>, which is linear in z."""
        with torch.inference_mode(False), torch.enable_grad():
            z = torch.zeros(len(rows), *shape, dtype=rows.dtype, device=rows.device)
            z.requires_grad_()
            (gradient,) = torch.autograd.grad(function(z).flatten(1), z, rows.clone())
        return gradient

    return Operator(lambda z: function(z).flatten(1), adjoint)

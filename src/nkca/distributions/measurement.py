r"""Linear measurements of clean states, y = A z + N(0, tau²), and the equations that they lead to.

All that a condition needs is the solution u of

    (A S Aᵀ + tau² I) u = r,        S = diag(variance of z)

A may be singular (rows that repeat each other, pixels that are held already), and r then lies in its range
or is met in the least squares' sense. Where no pixel is in two rows, as with block means, the matrix is
diagonal. Of up to `DENSE` rows it is formed and inverted on its range; of more, conjugate gradients solve
the equations (Hestenes and Stiefel 1952), for each image until its own residual is small, so that an image
has the same solution in any batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from nkca.distributions.contracts import Posterior
from nkca.errors import InputError

DENSE = 256  # rows up to which the matrix is formed


@dataclass(frozen=True)
class Operator:
    """A, a linear map of each image.

    Args:
        forward: (B, C, H, W) -> (B, M).
        adjoint: Aᵀ, (B, M) -> (B, C, H, W).
        is_disjoint: no pixel is in two rows.
    """

    forward: Callable[[Tensor], Tensor]
    adjoint: Callable[[Tensor], Tensor]
    is_disjoint: bool = False

    def diagonal(self, variance: Tensor, like: Tensor) -> Tensor:
        """The diagonal of A S Aᵀ, (B, M) as ``like``, where rows are disjoint; else ones."""
        if not self.is_disjoint:
            return torch.ones_like(like)
        return self.forward(variance * self.adjoint(torch.ones_like(like)))


@dataclass(frozen=True)
class Measurement:
    """y = A z + N(0, tau²) was found to be ``value``.

    Args:
        operators: A, in parts whose rows follow each other.
        values: y of each part, (B or 1, M) float.
        noise_stds: tau of each part, 0 or more.
    """

    operators: Sequence[Operator]
    values: Sequence[Tensor]
    noise_stds: Sequence[float]

    def and_also(self, other: "Measurement") -> "Measurement":
        """Both measurements."""
        return Measurement(
            (*self.operators, *other.operators),
            (*self.values, *other.values),
            (*self.noise_stds, *other.noise_stds),
        )

    def value(self, like: Tensor) -> Tensor:
        """y, (B, M) in the dtype and on the device of the states ``like``, (B, C, H, W)."""
        return torch.cat([value.to(like).expand(len(like), -1) for value in self.values], 1)

    def noise_std(self, like: Tensor) -> Tensor:
        """tau of each row, (M,) as ``like``."""
        parts = zip(self.values, self.noise_stds, strict=True)
        return torch.cat([like.new_full((value.shape[1],), std) for value, std in parts])

    def forward(self, z: Tensor) -> Tensor:
        """A z, (B, M), of z (B, C, H, W)."""
        return torch.cat([operator.forward(z) for operator in self.operators], 1)

    def adjoint(self, rows: Tensor) -> Tensor:
        """Aᵀ of rows (B, M), (B, C, H, W)."""
        parts = zip(self.operators, self._split(rows), strict=True)
        return torch.stack([operator.adjoint(part) for operator, part in parts]).sum(0)

    def solve(self, variance: Tensor, r: Tensor) -> Tensor:
        """u of (A S Aᵀ + tau²) u = r, (B, M), for variances (B, C, H, W) and r (B, M)."""
        noise = self.noise_std(r).square()
        if self.is_diagonal:
            diagonal = self.operators[0].diagonal(variance, r) + noise
            return torch.where(diagonal > 0, r / diagonal, 0.0)
        if r.shape[1] <= DENSE:
            inverse = torch.linalg.pinv(self.matrix(variance, r), hermitian=True)
            return torch.einsum("bmn,bn->bm", inverse, r)
        return self._conjugate_gradients(variance, r)

    @property
    def is_diagonal(self) -> bool:
        """Whether A S Aᵀ is diagonal whatever S is."""
        return len(self.operators) == 1 and self.operators[0].is_disjoint

    def matrix(self, variance: Tensor, like: Tensor) -> Tensor:
        """A S Aᵀ + tau², (B, M, M), for variances (B, C, H, W); ``like`` is (B, M)."""
        rows = self.adjoint(torch.eye(like.shape[1], dtype=like.dtype, device=like.device))
        gram = torch.einsum("mi,bi,ni->bmn", rows.flatten(1), variance.flatten(1), rows.flatten(1))
        return gram + self.noise_std(like).square().diag()

    def log_density(self, mean: Tensor, variance: Tensor) -> Tensor:
        """log p(y) in nats, up to a constant, where z is N(mean, variance), both (B, C, H, W): (B,).

        Rows that are certain are left out.

        Raises:
            InputError: for more than `DENSE` rows that share pixels: it takes a determinant.
        """
        r = self.value(mean) - self.forward(mean)
        if self.is_diagonal:
            values = self.operators[0].diagonal(variance, r) + self.noise_std(r).square()
        elif r.shape[1] <= DENSE:
            values, vectors = torch.linalg.eigh(self.matrix(variance, r))
            r = torch.einsum("bmn,bm->bn", vectors, r)
        else:
            raise InputError(f"densities are for measurements of up to {DENSE} rows")
        is_certain = values <= values.amax(1, keepdim=True) * len(r[0]) * torch.finfo(r.dtype).eps
        each = -0.5 * (r.square() / values + values.log())
        return each.masked_fill(is_certain, 0.0).sum(1)

    def _split(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Rows (B, M) by operator."""
        parts: tuple[Tensor, ...] = rows.split_with_sizes([v.shape[1] for v in self.values], 1)
        return parts

    def _conjugate_gradients(self, variance: Tensor, r: Tensor) -> Tensor:
        parts = zip(self.operators, self._split(r), strict=True)
        noise = self.noise_std(r).square()
        scale = (
            torch.cat([operator.diagonal(variance, part) for operator, part in parts], 1) + noise
        )
        scale = torch.where(scale > 0, scale, 1.0)
        enough = r.square().sum(1) * (100 * torch.finfo(r.dtype).eps) ** 2
        u, towards = torch.zeros_like(r), r / scale
        product = (r * towards).sum(1)
        for _ in range(2 * r.shape[1]):
            image = self.forward(variance * self.adjoint(towards)) + noise * towards
            curvature = (towards * image).sum(1)
            goes_on = (r.square().sum(1) > enough) & (curvature > 0)
            if not goes_on.any():
                break
            step = torch.where(goes_on, product / curvature, 0.0)[:, None]
            u, r = u + step * towards, r - step * image
            before, product = product, (r.square() / scale).sum(1)
            share = torch.where(goes_on, product / before, 0.0)[:, None]
            towards = torch.where(goes_on[:, None], r / scale + share * towards, towards)
        return u


@runtime_checkable
class Measurable(Protocol):
    """A posterior that knows what a measurement of z makes of it."""

    def measured(self, measurement: Measurement) -> Posterior:
        """p(z|x, y)."""
        ...

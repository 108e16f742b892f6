"""Known answers that several test modules compare with: closed forms, enumerations, frequencies."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser, PixelPriorDenoiser
from nkca.distributions.contracts import Distribution, Posterior
from nkca.distributions.image_list import Mixture
from nkca.distributions.normal import Normal
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.kernels.contract import Kernel
from nkca.noise import Noise

CONTINUOUS = ContinuousKernel()
Transition = Callable[[Tensor, Tensor, Tensor, Posterior, float], Distribution]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make ``dtype`` that of new tensors while the block runs."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def log_normal(x: Tensor, mean: Tensor | float, std: Tensor | float) -> Tensor:
    """The log-density of N(mean, std²), by hand."""
    std = torch.as_tensor(std, dtype=torch.float64)
    return -0.5 * ((x - mean) / std).square() - (std * math.sqrt(2 * math.pi)).log()


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --------------------------------------------------------------------------------------------
# Moves of a kernel, and data whose noised distribution is known exactly at every level


@dataclass(frozen=True)
class Move:
    """A transition from level ``b_x`` to ``b_y`` with lag ``w``."""

    w: float
    b_x: float
    b_y: float


EXTREME_MOVES = [
    Move(w, *levels)
    for w in (0.0, 0.5, 0.95, 0.999)
    for levels in (
        (1.0, 1.0),
        (1.0, 0.01),
        (1.0, 1e-6),
        (0.01, 1.0),
        (1e-6, 1.0),
        (1e-6, 1e-6),
        (0.3, 0.3),
        (0.02, 0.01),
        (0.5, 0.6),
    )
]


def random_moves(count: int, seed: int) -> list[Move]:
    """Moves with levels spread over five decades; every third stays at its level."""
    generator = torch.Generator().manual_seed(seed)
    moves = []
    for number in range(count):
        w, u, v = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        b_x, b_y = 10 ** (-5 * u * u), 10 ** (-5 * v * v)
        moves.append(Move(w, b_x, b_x if number % 3 == 0 else b_y))
    return moves


class Oracle(Protocol):
    """Data for which both sides of an identity of the chain can be computed."""

    @property
    def kernel(self) -> Kernel: ...

    def marginal_error(self, transition: Transition, move: Move) -> float:
        """Deviation of the law of y from the noised data at ``b_y``; x is noised data at ``b_x``."""
        ...

    def balance_error(self, transition: Transition, w: float, b: float) -> float:
        """Deviation of p(x) p(y|x) from p(y) p(x|y) at one level."""
        ...


def error_of(found: Tensor, expected: Tensor) -> float:
    """The largest deviation; infinite where anything is not a number."""
    error = (found - expected).abs().max().item()
    return error if math.isfinite(error) else math.inf


@dataclass(frozen=True)
class GaussianData:
    """One pixel, N(mean, std²): x is N(a mean, a² std² + b), and p(y|x) is linear in x."""

    mean: float
    std: float
    kernel: Kernel = CONTINUOUS

    def _law(self, b: float) -> tuple[float, float]:
        a = 1 - b
        return a * self.mean, a * a * self.std**2 + b

    def _push(self, transition: Transition, x: Tensor, w: float, b_x: float, b_y: float) -> Normal:
        """p(y|x) for each of the n values x, (n,)."""
        denoiser = GaussianDenoiser(doubles(self.mean), doubles(self.std))
        states, level_x, level_y = x.view(-1, 1, 1, 1), doubles(b_x), doubles(b_y)
        p_z = denoiser(states, level_x.expand(len(x)))
        p_y = transition(states, level_x.expand(len(x)), level_y.expand(len(x)), p_z, w)
        assert isinstance(p_y, Normal)
        return p_y

    def marginal_error(self, transition: Transition, move: Move) -> float:
        p_y = self._push(transition, doubles([0.0, 1.0, -2.0]), move.w, move.b_x, move.b_y)
        at_0, at_1, at_m2 = p_y.mean.flatten()
        slope = at_1 - at_0
        variance = p_y.std.square().expand_as(p_y.mean).flatten()
        mean_x, variance_x = self._law(move.b_x)
        mean_y, variance_y = self._law(move.b_y)
        return max(
            error_of(at_m2, at_0 - 2 * slope),
            error_of(at_0 + slope * mean_x, doubles(mean_y)),
            error_of(variance + slope.square() * variance_x, doubles(variance_y)),
        )

    def balance_error(self, transition: Transition, w: float, b: float) -> float:
        mean, variance = self._law(b)
        x = mean + math.sqrt(variance) * doubles([-1.5, -0.3, 0.4, 2.0])
        y = mean + math.sqrt(variance) * doubles([0.7, -0.2, -1.1, 1.6])
        forward = self._push(transition, x, w, b, b).log_prob(y.view(-1, 1, 1, 1))
        backward = self._push(transition, y, w, b, b).log_prob(x.view(-1, 1, 1, 1))
        left = log_normal(x, mean, math.sqrt(variance)) + forward
        right = log_normal(y, mean, math.sqrt(variance)) + backward
        return error_of(left / (1 + left.abs()), right / (1 + left.abs()))


@dataclass(frozen=True)
class PixelData:
    """One pixel that is level k with the k-th of ``probs``; the K + 1 states are enumerated."""

    probs: tuple[float, ...]

    @property
    def kernel(self) -> CategoricalKernel:
        return CategoricalKernel(len(self.probs))

    def marginal(self, b: float) -> Tensor:
        """p(x) of the K + 1 states."""
        return torch.cat([(1 - b) * doubles(self.probs), doubles([b])])

    def matrix(self, transition: Transition, move: Move) -> Tensor:
        """p(y|x), (K + 1, K + 1): one row for each x."""
        n = len(self.probs) + 1
        denoiser = PixelPriorDenoiser(doubles(self.probs).log().view(1, 1, 1, -1))
        x = torch.arange(n).view(n, 1, 1, 1)
        level_x, level_y = doubles([move.b_x] * n), doubles([move.b_y] * n)
        p_y = transition(x, level_x, level_y, denoiser(x, level_x), move.w)
        columns = [p_y.log_prob(torch.full_like(x, y)) for y in range(n)]
        return torch.stack(columns, 1).exp()

    def marginal_error(self, transition: Transition, move: Move) -> float:
        matrix = self.matrix(transition, move)
        return max(
            error_of(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64)),
            error_of(self.marginal(move.b_x) @ matrix, self.marginal(move.b_y)),
        )

    def balance_error(self, transition: Transition, w: float, b: float) -> float:
        flow = self.marginal(b)[:, None] * self.matrix(transition, Move(w, b, b))
        return error_of(flow, flow.T)


@dataclass(frozen=True)
class LevelImages:
    """Images of two pixels and K levels, equally likely: all (K + 1)² states, jointly."""

    images: tuple[tuple[int, int], ...]
    num_classes: int

    @property
    def kernel(self) -> CategoricalKernel:
        return CategoricalKernel(self.num_classes)

    def marginal(self, b: float) -> Tensor:
        """p(x) of all states, by hand: a mean over images of products over pixels."""
        scrambled = self.num_classes
        states = itertools.product(range(scrambled + 1), repeat=2)
        rows = [
            sum(
                math.prod(
                    b if pixel == scrambled else (1 - b) * (pixel == level)
                    for pixel, level in zip(state, image, strict=True)
                )
                for image in self.images
            )
            / len(self.images)
            for state in states
        ]
        return doubles(rows)

    def matrix(self, transition: Transition, move: Move) -> tuple[Tensor, Tensor]:
        """The states that can occur, int64 (m,), and their rows of p(y|x), (m, (K + 1)²)."""
        n = self.num_classes + 1
        states = torch.tensor(list(itertools.product(range(n), repeat=2))).view(-1, 1, 1, 2)
        possible = self.marginal(0.5).nonzero().flatten()  # the others have no posterior
        x = states[possible]
        images = torch.tensor(self.images).view(-1, 1, 1, 2)
        level_x, level_y = doubles([move.b_x] * len(x)), doubles([move.b_y] * len(x))
        p_z = ImageListDenoiser(self.kernel, images)(x, level_x)
        p_y = transition(x, level_x, level_y, p_z, move.w)
        columns = [p_y.log_prob(y.expand_as(x)) for y in states]
        return possible, torch.stack(columns, 1).exp()

    def marginal_error(self, transition: Transition, move: Move) -> float:
        possible, matrix = self.matrix(transition, move)
        p_x = self.marginal(move.b_x)[possible]
        # At b_x = 1 only the fully scrambled state occurs; others have no posterior there.
        occurs = p_x > 0
        p_x, matrix = p_x[occurs], matrix[occurs]
        return max(
            error_of(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64)),
            error_of(p_x @ matrix, self.marginal(move.b_y)),
        )

    def balance_error(self, transition: Transition, w: float, b: float) -> float:
        possible, matrix = self.matrix(transition, Move(w, b, b))
        p_x = self.marginal(b)[possible]
        occurs = p_x > 0
        flow = p_x[occurs][:, None] * matrix[occurs][:, possible[occurs]]
        return error_of(flow, flow.T)


@dataclass(frozen=True)
class RealImages:
    """Images of one pixel, equally likely; integrals over x by the trapezoid rule.

    p(x) p(z|x) is entire (Bayes' rule undoes the softmax), so the rule converges spectrally: at a
    step of a third of the integrand's width its error is below 1e-70.
    """

    values: tuple[float, ...]
    kernel: Kernel = CONTINUOUS

    def _grid(self, b: float, width: float) -> Tensor:
        reach = max(map(abs, self.values)) + 12 * math.sqrt(b)
        return torch.linspace(-reach, reach, 1 + int(2 * reach / (width / 3)), dtype=torch.float64)

    def density(self, x: Tensor, b: float) -> Tensor:
        """p(x), by hand."""
        means = (1 - b) * doubles(self.values)
        return log_normal(x[:, None], means, math.sqrt(b)).exp().mean(1)

    def _push(self, transition: Transition, x: Tensor, move: Move) -> Mixture:
        images = doubles(self.values).view(-1, 1, 1, 1)
        states = x.view(-1, 1, 1, 1)
        level_x, level_y = doubles(move.b_x).expand(len(x)), doubles(move.b_y).expand(len(x))
        p_z = ImageListDenoiser(self.kernel, images)(states, level_x)
        p_y = transition(states, level_x, level_y, p_z, move.w)
        assert isinstance(p_y, Mixture)
        return p_y

    def marginal_error(self, transition: Transition, move: Move) -> float:
        """Of the characteristic function of y, and of its density where p(y|x) has a width."""
        x = self._grid(move.b_x, math.sqrt(move.b_x) / 2)
        mass = self.density(x, move.b_x) * (x[1] - x[0])
        p_y = self._push(transition, x, move)
        u = doubles([0.0, 0.5, -1.0, 2.5])
        found = (mass[:, None] * _characteristic(p_y, u)).sum(0)
        phase = 1j * u[:, None] * (1 - move.b_y) * doubles(self.values)
        expected = (phase - 0.5 * u[:, None].square() * move.b_y).exp().mean(1)
        error = error_of(found, expected)
        width = math.sqrt(max(move.b_y - move.w**2 * move.b_x, 0))
        return max(error, self._density_error(transition, move, width)) if width > 0.03 else error

    def _density_error(self, transition: Transition, move: Move, width: float) -> float:
        narrow = 1 / math.sqrt(1 / move.b_x + move.w**2 / width**2)
        x = self._grid(move.b_x, narrow)
        p_y, mass = self._push(transition, x, move), self.density(x, move.b_x) * (x[1] - x[0])
        values = doubles([-1.3, -0.4, 0.2, 0.77])
        found = [
            (mass * p_y.log_prob(y.expand(len(x), 1, 1, 1)).exp()).sum() for y in values.unbind()
        ]
        expected = self.density(values, move.b_y)
        return error_of(torch.stack(found) / (1 + expected), expected / (1 + expected))

    def balance_error(self, transition: Transition, w: float, b: float) -> float:
        spread = math.sqrt(b)
        x = doubles(self.values)[0] * (1 - b) + spread * doubles([-1.5, -0.3, 0.4, 2.0])
        y = doubles(self.values)[1] * (1 - b) + spread * doubles([0.7, -0.2, -1.1, 1.6])
        move = Move(w, b, b)
        forward = self._push(transition, x, move).log_prob(y.view(-1, 1, 1, 1))
        backward = self._push(transition, y, move).log_prob(x.view(-1, 1, 1, 1))
        left = self.density(x, b).log() + forward
        right = self.density(y, b).log() + backward
        return error_of(left / (1 + left.abs()), right / (1 + left.abs()))


def _characteristic(p: Mixture, u: Tensor) -> Tensor:
    """E[exp(i u y)] of one-pixel states: (B, len(u)), exact also for a variance of 0."""
    total = torch.zeros(len(p.p_z.log_weights), len(u), dtype=torch.complex128)
    for log_weight, image in zip(p.p_z.log_weights.unbind(1), p.p_z.images.unbind(1), strict=True):
        part = p.given(image)
        assert isinstance(part, Normal)
        mean, std = part.mean.flatten()[:, None], part.std.flatten()[:, None]
        total += log_weight.exp()[:, None] * (1j * u * mean - 0.5 * (u * std).square()).exp()
    return total


# --------------------------------------------------------------------------------------------
# Frequencies


def z_scores(counts: Tensor, probs: Tensor) -> Tensor:
    """Deviations of ``counts`` from ``probs`` in standard errors; infinite for the impossible."""
    total = counts.sum()
    expected = probs * total
    error = (expected * (1 - probs)).sqrt()
    scores = (counts - expected).abs() / error
    impossible = (error == 0) & (counts != expected)
    return scores.masked_fill(error == 0, 0.0).masked_fill(impossible, math.inf)


def counts_of(values: Tensor, num_classes: int) -> Tensor:
    return torch.bincount(values.flatten(), minlength=num_classes).double()


class FixedNoise(Noise):
    """A stand-in for `Noise` that gives the draws it was made with, in order."""

    def __init__(self, draws: Sequence[Tensor]) -> None:
        super().__init__([])
        self._draws = list(draws)

    def normal(self, like: Tensor) -> Tensor:
        return self._draws.pop(0).to(like.dtype).expand_as(like)

    def uniform(self, like: Tensor) -> Tensor:
        return self._draws.pop(0).to(like.dtype).expand_as(like)

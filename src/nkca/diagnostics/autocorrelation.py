r"""How many steps of a chain are worth one independent draw: the integrated autocorrelation time.

    ρ(t) = Σ_d c_d(t) / Σ_d c_d(0),   c_d(t) = mean of (f_d(x_s) - m_d) (f_d(x_(s+t)) - m_d)
    τ    = 1 + 2 Σ_{t=1..M} ρ(t)

over times s, chains and D functions f_d of the state, so that functions count by their variance. The
sum stops at the first M with M >= 5 τ(M): later ρ(t) are noise (Sokal 1996, "Monte Carlo Methods in
Statistical Mechanics", section 3; Goodman and Weare 2010; emcee). The error is Madras and Sokal's
(1988), τ √((4 M + 2) / n) for n steps of all chains.

Departures from emcee: the window is at least 5 steps, because states that alternate would close it at once;
c(t) is divided by its number of terms, T - t, not by T; and the mean is that of all chains. So many short
chains that start in the stationary distribution are as good as one long one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

WINDOW = 5.0  # Sokal's c: the window is at least c τ
MIN_TAUS = 50  # emcee's rule: the estimate from a chain shorter than 50 τ should not be trusted
CHUNK = 256  # functions transformed together


@dataclass(frozen=True)
class Autocorrelation:
    """The autocorrelation of functions of a chain; plain numbers.

    Args:
        tau: integrated autocorrelation time in steps, 1 where states are independent; None where
            nothing varies.
        error: standard error of tau; None where tau is None or a lower bound.
        window: M, the last lag that was summed.
        length: T, the number of states of each chain.
        chains: the number of chains.
        is_lower_bound: the window did not close within T, so the true tau is about tau or larger.
        curve: ρ(0), ρ(1) ... ρ(T - 1), noisy at the end; empty where nothing varies.
    """

    tau: float | None
    error: float | None
    window: int
    length: int
    chains: int
    is_lower_bound: bool
    curve: tuple[float, ...]

    @property
    def is_long(self) -> bool:
        """Whether each chain alone is at least 50 tau long (emcee's rule of thumb)."""
        return (
            self.tau is not None and not self.is_lower_bound and self.length >= MIN_TAUS * self.tau
        )

    @property
    def note(self) -> str:
        """A caveat for the reader of tau; "" if there is none."""
        if self.tau is None:
            return "nothing varies, so there is no autocorrelation"
        if self.is_lower_bound:
            return f"a lower bound: {self.length} states are too few to see the chain forget"
        if not self.is_long:
            return (
                f"each chain is shorter than {MIN_TAUS} tau: trust it as far as the "
                f"{self.chains} chains started in the stationary distribution"
            )
        return ""


def autocorrelation(values: Tensor, mean: Tensor | None = None) -> Autocorrelation:
    """Estimate τ of D functions along M chains of T states.

    Args:
        values: float (T, M, D), T >= 2: f_d of the state of each chain at each time.
        mean: float (D,), the true means of the functions, if known; None: those of ``values``.
    """
    length, chains, _ = values.shape
    covariance = _autocovariance(values, mean)
    if not covariance[0] > 0:
        return Autocorrelation(None, None, 0, length, chains, False, ())
    curve = covariance / covariance[0]
    sums = 2 * curve.cumsum(0) - 1
    closed = torch.arange(length) >= WINDOW * sums.clamp(min=1)
    is_lower_bound = not closed.any()
    window = length - 1 if is_lower_bound else int(closed.int().argmax())
    tau = sums[window].item()
    error = abs(tau) * math.sqrt((4 * window + 2) / (length * chains))
    return Autocorrelation(
        tau=tau,
        error=None if is_lower_bound else error,
        window=window,
        length=length,
        chains=chains,
        is_lower_bound=is_lower_bound,
        curve=tuple(curve.tolist()),
    )


def _autocovariance(values: Tensor, mean: Tensor | None) -> Tensor:
    """Σ_d c_d(t) for t = 0 ... T - 1, float64 (T,) on the CPU; 0 for functions that do not vary."""
    length, chains, functions = values.shape
    total = torch.zeros(length, dtype=torch.float64)
    for first in range(0, functions, CHUNK):
        part = values[..., first : first + CHUNK].double().cpu()
        known = None if mean is None else mean[first : first + CHUNK].double().cpu()
        varies = (
            (part != part[0, 0]).any(0).any(0)
        )  # not the variance, which may be positive by rounding
        deviations = (part - (part.mean((0, 1)) if known is None else known)) * varies
        spectrum = torch.fft.rfft(
            deviations, n=2 * length, dim=0
        )  # padded with zeros: no wrap-around
        power = spectrum.abs().square().sum((1, 2))
        total += torch.fft.irfft(power, n=2 * length)[:length]
    terms = chains * (length - torch.arange(length, dtype=torch.float64))
    return total / terms

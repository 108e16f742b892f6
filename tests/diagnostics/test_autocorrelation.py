"""Autocorrelation times: processes whose time is known, and what cannot be known."""

import math

import pytest
import torch
from tables import each
from torch import Tensor

from nkca.diagnostics.autocorrelation import autocorrelation


def ar1(phi: float, length: int, chains: int, seed: int = 0, functions: int = 3) -> Tensor:
    """x' = φ x + noise, started in its stationary distribution N(0, 1): (T, M, D), τ = (1+φ)/(1-φ)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(length, chains, functions, generator=generator, dtype=torch.float64)
    x = [noise[0]]
    for step in range(1, length):
        x.append(phi * x[-1] + math.sqrt(1 - phi**2) * noise[step])
    return torch.stack(x)


@pytest.mark.parametrize(("length", "chains"), [(4000, 4), (200, 100)])
def test_a_known_time_is_found_by_few_long_and_by_many_short_chains(
    length: int, chains: int
) -> None:
    for phi in each([-0.5, 0.0, 0.5, 0.9]):
        found = autocorrelation(ar1(phi, length, chains))
        tau = (1 + phi) / (1 - phi)
        assert found.tau is not None
        assert found.tau == pytest.approx(tau, rel=0.15, abs=0.05)
        assert found.error is not None
        assert abs(found.tau - tau) < 4 * found.error + 0.05
        assert not found.is_lower_bound
        assert found.window >= 5 * found.tau
        assert found.is_long == (length >= 50 * found.tau)
        assert (found.note == "") == found.is_long
        assert found.curve[0] == 1
        for lag in (1, 2, 3):
            assert found.curve[lag] == pytest.approx(phi**lag, abs=0.03)
        assert (found.length, found.chains, len(found.curve)) == (length, chains, length)


def test_too_few_states_give_a_lower_bound_that_says_so() -> None:
    found = autocorrelation(ar1(0.98, 65, 200))  # τ = 99
    assert found.is_lower_bound
    assert found.error is None
    assert found.tau is not None
    assert 30 < found.tau < 110
    assert not found.is_long
    assert "lower bound" in found.note


def test_frozen_chains_never_forget() -> None:
    frozen = torch.randn(1, 20, 4, generator=torch.Generator().manual_seed(1)).expand(30, -1, -1)
    found = autocorrelation(frozen)
    assert found.is_lower_bound
    assert found.tau == pytest.approx(2 * 30 - 1)


def test_what_does_not_vary_has_no_time_and_says_so() -> None:
    for value in each([0.0, 0.1, 1e6]):
        found = autocorrelation(torch.full((50, 3, 2), value))
        assert found.tau is None
        assert found.curve == ()
        assert "nothing varies" in found.note


def test_constant_functions_beside_others_change_nothing() -> None:
    values = ar1(0.5, 300, 20)
    with_constant = torch.cat([values, torch.full((300, 20, 300), 0.1, dtype=torch.float64)], 2)
    assert autocorrelation(with_constant).tau == pytest.approx(autocorrelation(values).tau)


def test_functions_count_by_their_variance() -> None:
    slow, fast = ar1(0.9, 2000, 10), ar1(0.0, 2000, 10, seed=1)
    together = autocorrelation(torch.cat([10 * slow, fast], 2))
    assert together.tau == pytest.approx(autocorrelation(slow).tau, rel=0.05)
    together = autocorrelation(torch.cat([slow, 10 * fast], 2))
    assert together.tau == pytest.approx(1.2, abs=0.15)  # (19 + 100) / 101


def test_the_curve_is_the_direct_sum() -> None:
    values = ar1(0.7, 12, 3)
    deviations = values - values.mean((0, 1))
    direct = [(deviations[: 12 - t] * deviations[t:]).mean((0, 1)).sum() for t in range(12)]
    expected = torch.stack(direct) / direct[0]
    assert torch.allclose(torch.tensor(autocorrelation(values).curve).double(), expected)


def test_a_known_mean_is_used() -> None:
    values = ar1(0.0, 500, 4) + 3
    assert autocorrelation(values, mean=torch.full((3,), 3.0)).tau == pytest.approx(1, abs=0.2)
    assert autocorrelation(values, mean=torch.zeros(3)).is_lower_bound  # control: a wrong one

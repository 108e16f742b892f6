"""Surprise: tables of Student's t, and what is no surprise or beyond one."""

import math

import pytest
import torch

from nkca.diagnostics.significance import (
    MAX_Z,
    combine_p_values,
    p_value,
    p_value_above,
    standard_error,
    threshold,
    z_scores,
)


def with_t(t: float, count: int) -> torch.Tensor:
    """``count`` (even) values whose t is ``t``."""
    spread = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(count // 2)
    return spread + t * spread.std() / math.sqrt(count)


@pytest.mark.parametrize(
    ("t", "count", "p", "error"),
    [  # from tables of Student's t with count - 1 degrees of freedom
        (2.571, 6, 0.05, 0.003),
        (4.032, 6, 0.01, 0.002),
        (2.131, 16, 0.05, 0.0005),
        (4.073, 16, 0.001, 0.0001),
        (1.980, 122, 0.05, 0.0005),
    ],
)
def test_p_values_are_those_of_tables(t: float, count: int, p: float, error: float) -> None:
    z = z_scores(with_t(t, count)).item()
    assert p_value(z) == pytest.approx(p, abs=error)
    assert z_scores(with_t(-t, count)).item() == pytest.approx(-z)
    assert p_value(-z) == p_value(z)
    assert p_value_above(z) == pytest.approx(p_value(z) / 2)
    assert p_value_above(-z) == pytest.approx(1 - p_value(z) / 2)


def test_columns_are_judged_on_their_own_and_the_extremes_are_finite() -> None:
    values = torch.tensor(
        [[0.0, 1.0, -1.0, math.inf, math.nan, 1.0], [0.0, 1.0, -1.0, 0.0, 0.0, -1.0]]
    )
    z = z_scores(values)
    assert z.tolist() == [0, MAX_Z, -MAX_Z, MAX_Z, MAX_Z, 0]
    assert z_scores(1e9 + with_t(1.0, 4)).item() < MAX_Z


def test_a_known_least_error_counts() -> None:
    ones = torch.ones(4)
    assert z_scores(ones, least_error=2.0).item() == z_scores(with_t(0.5, 4)).item()
    assert standard_error(torch.tensor([0.0, 2.0])).item() == pytest.approx(1)


def test_many_comparisons_make_a_large_value_less_surprising() -> None:
    assert threshold(0.05) == pytest.approx(1.96, abs=0.001)
    assert p_value(threshold(0.05, 91), 91) == pytest.approx(0.05)
    assert p_value(0.5, 100) == 1
    assert combine_p_values((0.5, 0.01)) == pytest.approx(0.02)
    assert combine_p_values((0.9, 0.8)) == 1

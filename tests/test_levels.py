"""The levels of anneals and of training."""

import itertools
import math

import pytest
import torch
from tables import each

from nkca.errors import InputError
from nkca.levels import anneal, expand, uniform
from nkca.noise import sample_noise


def test_an_anneal_goes_linearly_from_exactly_max_to_exactly_min() -> None:
    for high, low, steps in each(
        [(1.0, 0.01, 100), (1.0, 0.01, 1), (0.2, 0.2, 7), (0.9, 1e-6, 333)]
    ):
        path = anneal(high, low, steps)
        assert len(path) == steps + 1
        assert path[0] == high
        assert path[-1] == low
        gaps = [b - a for a, b in itertools.pairwise(path)]
        assert max(abs(gap - (low - high) / steps) for gap in gaps) < 1e-12
        assert all(low <= b <= high for b in path)


def test_an_anneal_of_no_steps_stays_at_its_start() -> None:
    assert anneal(1.0, 0.3, 0) == [1.0]


def test_levels_out_of_range_are_refused() -> None:
    nan = math.nan
    for high, low in each([(0.1, 0.2), (1.1, 0.5), (1.0, 0.0), (1.0, -0.1), (nan, 0.1), (1, nan)]):
        with pytest.raises(InputError, match=r"0 < min <= max <= 1, got min .* and max") as caught:
            anneal(high, low, 10)
        assert "\n" not in str(caught.value)


def test_a_negative_number_of_steps_is_refused() -> None:
    with pytest.raises(InputError, match="sampling steps must be at least 0, got -1"):
        anneal(1.0, 0.01, -1)


def test_levels_broadcast_over_images() -> None:
    like = torch.empty(3, 2, 4, 5)
    assert expand(torch.ones(3), like).shape == (3, 1, 1, 1)
    assert expand(torch.tensor(0.5), like).shape == (1, 1, 1, 1)
    assert expand(torch.ones(3), torch.empty(3, 7)).shape == (3, 1)


def test_training_levels_are_uniform_above_the_lowest() -> None:
    low, n = 0.2, 4000
    draw, cpu = uniform(low), torch.device("cpu")
    b = draw(sample_noise(range(n)), cpu)
    assert b.dtype == torch.float32
    assert b.shape == (n,)
    assert low <= b.min() < low + 0.01
    assert 0.99 < b.max() <= 1

    def z(expected: float) -> float:
        return abs(b.mean().item() - expected) / (1 - low) * math.sqrt(12 * n)

    assert z((1 + low) / 2) < 4.5
    assert z((1 + low) / 2 + 0.03) > 4.5  # control
    same = draw(sample_noise([5]), cpu)
    assert same.item() == b[5].item()

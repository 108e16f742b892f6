"""Statistics of a state by hand, and the test that they do not drift."""

import pytest
import torch

from nkca.diagnostics.drift import (
    STATISTICS,
    measure_drift,
    measure_picture_drift,
    state_statistics,
    thresholds,
)


def of(x: torch.Tensor, limits: torch.Tensor | None = None) -> dict[str, float]:
    limits = torch.zeros(5) if limits is None else limits
    return dict(zip(STATISTICS, state_statistics(x, limits)[0].tolist(), strict=True))


def test_the_statistics_are_what_their_names_say() -> None:
    x = torch.tensor([[[[1.0, -1.0, 1.0, -1.0]] * 4, [[3.0, 3.0, 3.0, 3.0]] * 4]])  # (1, 2, 4, 4)
    found = of(x, torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]))
    assert found["mean"] == 1.5
    assert found["mean square"] == 5
    assert found["mean fourth power"] == 41
    assert found["variance within an image"] == 5 - 1.5**2
    assert found["product of horizontal neighbours"] == 4  # mean of -1 and 9
    assert found["product of vertical neighbours"] == 5
    assert found["square of the mean of the channels"] == 2.5  # of 2 and 1
    assert found["square of the mean of 4x4 pixels"] == 4.5  # of 0 and 3
    assert [found[name] for name in STATISTICS[-5:]] == [1, 0.75, 0.75, 0.5, 0]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 7), (4, 5, 2)])
def test_any_shape_of_state_has_finite_statistics(shape: tuple[int, int, int]) -> None:
    values = state_statistics(torch.ones(2, *shape, dtype=torch.long), torch.zeros(5))
    assert values.shape == (2, len(STATISTICS))
    assert values.isfinite().all()


def test_the_largest_threshold_separates_scrambled_pixels() -> None:
    z = torch.arange(4).repeat(250).view(10, 1, 10, 10)
    limits = thresholds(z)
    assert limits.tolist() == [0, 1, 2, 2, 3] or limits.tolist() == [0, 1, 1, 2, 3]
    x = z[:1].clone()
    x[..., :3] = 4  # scrambled, of 4 levels
    assert of(x, limits)[STATISTICS[-1]] == pytest.approx(0.3)


def test_drift_finds_the_statistic_and_window_that_moved() -> None:
    generator = torch.Generator().manual_seed(0)
    count = len(STATISTICS)
    start = torch.randn(200, 4, count, generator=generator, dtype=torch.float64)
    later = torch.randn(200, 3, count, generator=generator, dtype=torch.float64)
    still = measure_drift((1, 2, 4), start, later)
    assert still.p_value > 0.05
    assert still.comparisons == 3 * count
    later[:, 2, 5] -= 1
    moved = measure_drift((1, 2, 4), start, later)
    assert moved.p_value < 1e-12
    assert moved.worst == STATISTICS[5]
    assert moved.largest.index(max(moved.largest)) == 2
    assert moved.z_scores[5][2] < -8
    assert moved.effects[5][2] == pytest.approx(-1, abs=0.2)
    assert moved.z_scores[4] == still.z_scores[4]


def test_a_statistic_that_never_varies_is_no_drift() -> None:
    ones = torch.ones(5, 2, len(STATISTICS), dtype=torch.float64)
    assert measure_drift((1, 2), ones, ones).p_value == 1
    moved = measure_drift((1, 2), ones, 2 * ones)  # and one that jumps is certain
    assert moved.p_value == 0
    assert moved.largest == (1000, 1000)


def test_drift_of_pictures_finds_one_feature_of_many() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(100, 4, 500, generator=generator)
    still = measure_picture_drift((1, 2, 3), features)
    assert still.p_value > 0.05
    assert still.comparisons == 1500
    features[:, 2, 77] += 2
    moved = measure_picture_drift((1, 2, 3), features)
    assert moved.p_value < 1e-12
    assert moved.largest.index(max(moved.largest)) == 1
    features[:, 0, 77] += 2  # where it started is what counts
    assert measure_picture_drift((1, 2, 3), features).largest[1] == still.largest[1]

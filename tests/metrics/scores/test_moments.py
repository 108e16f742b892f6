"""Moments by hand; any grouping and order of parts is the whole; digits survive a far mean."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.scores.moments import Moments, merge_all

EXACT = 1e-12


def normal(count: int, dimensions: int, seed: int) -> Tensor:
    """Correlated features, float64 (count, dimensions)."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64) @ mix + 3


def in_parts(features: Tensor, sizes: Sequence[int]) -> list[Moments]:
    assert sum(sizes) == len(features)
    return [Moments.of(part) for part in torch.split(features, list(sizes))]


def assert_equal(found: Moments, expected: Moments, tolerance: float = EXACT) -> None:
    """Equal up to ``tolerance`` of the largest entry."""
    assert found.count == expected.count
    for one, other in ((found.mean, expected.mean), (found.scatter, expected.scatter)):
        assert one.dtype == torch.float64
        assert (one - other).abs().max() <= tolerance * other.abs().max()


def test_by_hand() -> None:
    """Three points: mean (2, 1); deviations (-2, 0), (0, -1), (2, 1); halved sums of products."""
    moments = Moments.of(torch.tensor([[0.0, 1.0], [2.0, 0.0], [4.0, 2.0]]))
    assert moments.count == 3
    assert moments.mean.tolist() == [2, 1]
    assert moments.scatter.tolist() == [[8, 2], [2, 2]]
    gaussian = moments.gaussian()
    assert gaussian.mean.tolist() == [2, 1]
    assert gaussian.covariance.tolist() == [[4, 1], [1, 1]], "over N - 1, not N"


def test_a_merge_by_hand() -> None:
    """{0, 2} and {5}: scatter 2 + 0 + (5 - 1)² 2 1 / 3 = 38/3; mean 7/3."""
    together = Moments.of(torch.tensor([[0.0], [2.0]])).merge(Moments.of(torch.tensor([[5.0]])))
    assert together.count == 3
    assert together.mean.item() == pytest.approx(7 / 3, rel=1e-15)
    assert together.scatter.item() == pytest.approx(38 / 3, rel=1e-15)


def test_it_is_torch_cov() -> None:
    features = normal(50, 7, seed=1)
    gaussian = Moments.of(features).gaussian()
    assert (gaussian.covariance - features.T.cov()).abs().max() < 1e-12 * features.T.cov().max()
    assert (gaussian.covariance - gaussian.covariance.T).abs().max() < 1e-15 * 27


@pytest.mark.parametrize("sizes", [(60,), (1, 59), (59, 1), (7, 20, 33), (20, 20, 20), (1,) * 60])
def test_parts_in_any_order_are_the_whole(sizes: tuple[int, ...]) -> None:
    features = normal(60, 5, seed=2)
    whole, parts = Moments.of(features), in_parts(features, sizes)
    orders = [parts, parts[::-1], parts[1:] + parts[:1]]
    for order in orders:
        assert_equal(merge_all(order), whole)


def test_parts_in_any_grouping_are_the_whole() -> None:
    """((a b) c) d, (a b) (c d), a (b (c d)) and the rest, in all 24 orders."""
    features = normal(31, 4, seed=3)
    whole, parts = Moments.of(features), in_parts(features, (1, 2, 8, 20))
    for a, b, c, d in itertools.permutations(parts):
        for together in (
            a.merge(b).merge(c).merge(d),
            a.merge(b).merge(c.merge(d)),
            a.merge(b.merge(c).merge(d)),
            a.merge(b.merge(c.merge(d))),
        ):
            assert_equal(together, whole)


def test_a_merge_changes_neither_part() -> None:
    a, b = Moments.of(normal(5, 3, seed=4)), Moments.of(normal(6, 3, seed=5))
    before = [a.mean.clone(), a.scatter.clone(), b.mean.clone(), b.scatter.clone()]
    a.merge(b)
    for now, then in zip([a.mean, a.scatter, b.mean, b.scatter], before, strict=True):
        assert torch.equal(now, then)


def test_a_far_mean_costs_no_digits() -> None:
    """Mean 1e6, deviation 1: sums of squares in float64 lose the variance's last 5 digits.

    The offset and the features are multiples of 2^-20, so that the sum of both is exact and the
    answer is that without an offset.
    """
    near = (normal(3000, 3, seed=6) * 2**20).round() / 2**20
    far = near + 1_000_000
    expected = Moments.of(near).gaussian().covariance
    found = merge_all(in_parts(far, (1000, 1, 1999))).gaussian()
    assert (found.covariance - expected).abs().max() < 1e-11 * expected.max()
    assert (found.mean - 1_000_000 - near.mean(0)).abs().max() < 1e-9
    naive = (far.T @ far - 3000 * torch.outer(far.mean(0), far.mean(0))) / 2999
    assert (naive - expected).abs().max() > 1e-7 * expected.max(), "the case is too easy"


def test_a_far_mean_of_float32_features() -> None:
    """Multiples of 1/8 near 1e6 are float32 numbers: the variance of the bytes that are there."""
    near = (normal(500, 3, seed=7) * 8).round() / 8
    far = (near + 1_000_000).float()
    assert torch.equal(far.double() - 1_000_000, near)
    found, expected = Moments.of(far), Moments.of(near)
    assert (found.scatter - expected.scatter).abs().max() < EXACT * expected.scatter.max()
    assert (found.mean - 1_000_000 - expected.mean).abs().max() < 1e-9, "1e6 in float64"


def test_float32_features_are_summed_in_float64() -> None:
    features = normal(400, 6, seed=8).float()
    assert_equal(Moments.of(features), Moments.of(features.double()), tolerance=0)
    half = features.half()
    assert_equal(Moments.of(half), Moments.of(half.double()), tolerance=0)


def test_a_single_image_has_no_covariance() -> None:
    one = Moments.of(torch.ones(1, 4))
    assert one.scatter.abs().max() == 0
    with pytest.raises(InputError, match="at least 2 in each set"):
        one.gaussian()
    assert one.merge(one).gaussian().covariance.abs().max() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite(value: float) -> None:
    features = normal(6, 3, seed=9)
    features[4, 1] = value
    for moments in (Moments.of(features), merge_all(in_parts(features, (2, 2, 2)))):
        with pytest.raises(InputError, match="not finite"):
            moments.gaussian()

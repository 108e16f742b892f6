"""The Fréchet distance by hand, against SciPy's square root, and where ranks are short."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.linalg  # type: ignore[import-untyped]
import torch
from tables import each
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array
from nkca.metrics.scores.frechet import FID_POINTS, frechet_distance, frechet_line
from nkca.metrics.scores.moments import Gaussian, Moments

EXACT = 1e-10


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gaussian(mean: Sequence[float], covariance: object) -> Gaussian:
    return Gaussian(doubles(mean), doubles(covariance))


def diagonal(mean: Sequence[float], deviations: Sequence[float]) -> Gaussian:
    return Gaussian(doubles(mean), torch.diag(doubles(deviations) ** 2))


def normal(count: int, dimensions: int, seed: int) -> Tensor:
    """Correlated features with a mean of their own, float64 (count, dimensions)."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64)
    mean = torch.randn(dimensions, generator=generator, dtype=torch.float64)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64) @ mix / 2 + mean


def fitted(count: int, dimensions: int, seed: int) -> Gaussian:
    return Moments.of(normal(count, dimensions, seed)).gaussian()


def turned(a: Gaussian, turn: Tensor) -> Gaussian:
    covariance = turn @ a.covariance @ turn.T
    return Gaussian(turn @ a.mean, (covariance + covariance.T) / 2)


def rotation(dimensions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64)
    turn: Tensor = torch.linalg.qr(square).Q
    return turn


def by_scipy(a: Gaussian, b: Gaussian) -> float:
    root = scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy())
    traces = a.covariance.trace() + b.covariance.trace() - 2 * float(np.trace(root).real)
    return float((a.mean - b.mean).square().sum() + traces)


# answers known by hand


def test_one_dimension() -> None:
    """(1 - 4)² + (2 - 5)² = 18."""
    assert frechet_distance(diagonal([1], [2]), diagonal([4], [5])) == pytest.approx(18, rel=EXACT)


def test_diagonal_covariances() -> None:
    """|μ - ν|² = 1 + 4 + 0; Σ (s - t)² = (1 - 3)² + (2 - 2)² + (0.5 - 4)² = 16.25."""
    a, b = diagonal([0, 1, 2], [1, 2, 0.5]), diagonal([1, -1, 2], [3, 2, 4])
    assert frechet_distance(a, b) == pytest.approx(21.25, rel=EXACT)


def test_equal_covariances_leave_the_means() -> None:
    """(3, 4) apart: 25, whatever the covariance."""
    covariance = fitted(30, 2, seed=1).covariance
    a, b = Gaussian(doubles([0, 0]), covariance), Gaussian(doubles([3, 4]), covariance)
    assert frechet_distance(a, b) == pytest.approx(25, rel=EXACT)


def test_scaled_identity() -> None:
    """In D dimensions s² I and t² I are D (s - t)² apart: 50 (3 - 1)² = 200."""
    a, b = diagonal([0] * 50, [3] * 50), diagonal([0] * 50, [1] * 50)
    assert frechet_distance(a, b) == pytest.approx(200, rel=EXACT)


def test_scaled_covariance() -> None:
    """S and c² S commute: (c - 1)² Tr S."""
    a = fitted(40, 8, seed=2)
    b = Gaussian(a.mean, 9 * a.covariance)
    assert frechet_distance(a, b) == pytest.approx(4 * a.covariance.trace().item(), rel=EXACT)


def test_covariances_that_commute_are_diagonal_in_some_basis() -> None:
    """Of the same diagonal case, 21.25, turned: S and T are full, and share their axes."""
    a, b = diagonal([0, 1, 2], [1, 2, 0.5]), diagonal([1, -1, 2], [3, 2, 4])
    for seed in each(range(3)):
        turn = rotation(3, seed)
        found = frechet_distance(turned(a, turn), turned(b, turn))
        assert found == pytest.approx(21.25, rel=EXACT)


def test_covariances_that_do_not_commute() -> None:
    """S = diag(1, 4), T = [[2, 1], [1, 2]].

    2 x 2: Tr (S T)^½ = √(Tr S T + 2 √det S T); Tr S T = 2 + 8, det S T = 4 * 3.
    d² = 5 + 4 - 2 √(10 + 2 √12).
    """
    a, b = gaussian([0, 0], [[1, 0], [0, 4]]), gaussian([0, 0], [[2, 1], [1, 2]])
    expected = 9 - 2 * math.sqrt(10 + 2 * math.sqrt(12))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=EXACT)


# agreement


def test_scipy_agrees_where_ranks_are_full() -> None:
    sizes = [(40, 3), (60, 20), (300, 64)]
    for (count, dimensions), seed in each(itertools.product(sizes, [1, 2])):
        a, b = fitted(count, dimensions, seed), fitted(count, dimensions, seed + 10)
        assert frechet_distance(a, b) == pytest.approx(by_scipy(a, b), rel=EXACT)


@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")
def test_pytorch_fid_agrees() -> None:
    score = pytest.importorskip("pytorch_fid.fid_score", reason="pytorch-fid is not installed")
    a, b = fitted(300, 48, seed=3), fitted(200, 48, seed=4)
    expected = score.calculate_frechet_distance(
        a.mean.numpy(), a.covariance.numpy(), b.mean.numpy(), b.covariance.numpy()
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=EXACT)


# ranks that are short


def test_a_set_is_at_distance_0_of_itself() -> None:
    for count in each([2, 10, 64, 65, 200]):
        a = fitted(count, 64, seed=5)
        size = a.covariance.trace().item()
        assert 0 <= frechet_distance(a, a) < 1e-12 * size
        nudged = Gaussian(a.mean, a.covariance * (1 + 1e-15))
        assert 0 <= frechet_distance(a, nudged) < 1e-12 * size, "no negative distance by rounding"


def test_a_set_is_at_distance_0_of_itself_in_another_order() -> None:
    features = normal(30, 64, seed=6)
    a = Moments.of(features).gaussian()
    b = Moments.of(features.flip(0)).merge(Moments.of(features)).gaussian()
    b = Gaussian(b.mean, b.covariance * (59 / 58))  # the same set twice, over 2 N - 1
    assert 0 <= frechet_distance(a, b) < 1e-12 * a.covariance.trace().item()


def test_supports_at_right_angles() -> None:
    """S T = 0, so nothing is shared: d² = |μ - ν|² + Tr S + Tr T = 2 + (1 + 4) + (9 + 16)."""
    a, b = diagonal([1, 0, 0, 0], [1, 2, 0, 0]), diagonal([0, 1, 0, 0], [0, 0, 3, 4])
    assert frechet_distance(a, b) == pytest.approx(32, rel=EXACT)
    turn = rotation(4, seed=7)
    found = frechet_distance(turned(a, turn), turned(b, turn))
    assert found == pytest.approx(32, rel=EXACT)


def test_two_lines_at_an_angle() -> None:
    """S = 4 u uᵀ, T = 9 v vᵀ with u·v = cos 60°: Tr (S T)^½ = 2 * 3 * 1/2; d² = 4 + 9 - 6 = 7."""
    u, v = doubles([1, 0, 0]), doubles([0.5, math.sqrt(0.75), 0])
    a = Gaussian(torch.zeros(3, dtype=torch.float64), 4 * torch.outer(u, u))
    b = Gaussian(torch.zeros(3, dtype=torch.float64), 9 * torch.outer(v, v))
    assert frechet_distance(a, b) == pytest.approx(7, rel=EXACT)


def test_few_samples_against_the_formula_for_their_own_subspace() -> None:
    """5 samples span 4 dimensions of 40: inside those, ranks are full and SciPy's root exists."""
    small_a, small_b = fitted(30, 4, seed=8), fitted(30, 4, seed=9)
    frame = rotation(40, seed=10)[:, :4]
    a, b = (Gaussian(frame @ g.mean, frame @ g.covariance @ frame.T) for g in (small_a, small_b))
    assert frechet_distance(a, b) == pytest.approx(by_scipy(small_a, small_b), rel=EXACT)


def test_images_that_are_all_the_same() -> None:
    """No spread: (3, 4) from N(0, diag(1, 4)) is 25 + Tr S = 30; from another point, 25."""
    point = gaussian([3, 4], [[0, 0], [0, 0]])
    assert frechet_distance(point, diagonal([0, 0], [1, 2])) == pytest.approx(30, rel=EXACT)
    assert frechet_distance(diagonal([0, 0], [1, 2]), point) == pytest.approx(30, rel=EXACT)
    assert frechet_distance(point, gaussian([0, 0], [[0, 0], [0, 0]])) == 25
    assert frechet_distance(point, point) == 0


def test_scales_far_apart_lose_no_digits() -> None:
    """Deviations over five decades, (s - t)² each: the smallest is not lost by the largest."""
    deviations = [10.0**-power for power in range(6)]
    a, b = diagonal([0] * 6, deviations), diagonal([0] * 6, [1, *deviations[1:5], 3e-5])
    assert frechet_distance(a, a) < 1e-15
    assert frechet_distance(a, b) == pytest.approx(4e-10, abs=1e-14)


# what must not change it


def test_turning_and_moving_both_changes_nothing() -> None:
    a, b = fitted(50, 12, seed=11), fitted(9, 12, seed=12)
    turn, shift = rotation(12, seed=13), torch.arange(12, dtype=torch.float64)
    expected = frechet_distance(a, b)
    assert expected > 1
    both_turned = frechet_distance(turned(a, turn), turned(b, turn))
    moved = frechet_distance(
        Gaussian(a.mean + shift, a.covariance), Gaussian(b.mean + shift, b.covariance)
    )
    assert both_turned == pytest.approx(expected, rel=EXACT)
    assert moved == pytest.approx(expected, rel=EXACT)
    one_turned = frechet_distance(turned(a, turn), b)
    assert one_turned != pytest.approx(expected, rel=1e-3), "turning one of them does matter"


def test_it_is_symmetric() -> None:
    for count, other in each([(50, 60), (5, 60), (5, 6)]):
        a, b = fitted(count, 12, seed=14), fitted(other, 12, seed=15)
        assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=EXACT)


# bad input, in either place

GOOD = gaussian([0, 0], [[1, 0], [0, 1]])


def refused(bad: Gaussian, match: str) -> None:
    for pair in ((bad, GOOD), (GOOD, bad)):
        with pytest.raises(InputError, match=match) as caught:
            frechet_distance(*pair)
        assert "\n" not in str(caught.value)


def test_other_dimensions_are_refused() -> None:
    refused(diagonal([0] * 3, [1] * 3), r"of [23] and of [23] dimensions cannot be compared")


def test_matrices_that_are_not_symmetric_are_refused() -> None:
    refused(gaussian([0, 0], [[1, 0.1], [0, 1]]), "not symmetric")


def test_numbers_that_are_not_finite_are_refused() -> None:
    """A mean of NaN must not pass for the distance 0 of a perfect model."""
    refused(gaussian([0, 0], [[1, math.nan], [0, 1]]), "not finite")
    for value in each([math.nan, math.inf]):
        refused(gaussian([0, 0], [[1, 0], [0, value]]), "not finite")
        refused(gaussian([0, 0], [[1, value], [value, 1]]), "not finite")
        refused(gaussian([0, value], [[1, 0], [0, 1]]), "not finite")


def test_negative_eigenvalues_are_refused() -> None:
    for covariance in each(
        [
            [[1, 2], [2, 1]],  # eigenvalues 3 and -1
            [[0, 1], [1, 0]],  # 1 and -1, the trace of nothing
            [[1, 0], [0, -0.5]],
            [[1, 0], [0, -1e-3]],
            [[-1, 0], [0, -1]],
            [[-1, 0], [0, 3]],
        ]
    ):
        refused(gaussian([0, 0], covariance), "negative eigenvalues")


def test_rounding_of_a_covariance_is_not_refused() -> None:
    """Of rank 3 in 30 dimensions, its zero eigenvalues are ±1e-17; asymmetry of 1e-16 is rounding."""
    a = fitted(4, 30, seed=16)
    assert torch.linalg.eigvalsh(a.covariance).min() < 0
    shaken = a.covariance * (1 + 1e-16 * rotation(30, seed=17))
    assert frechet_distance(Gaussian(a.mean, shaken), a) < 1e-12


# the line through subsets


def gaussian_features(count: int, dimensions: int, shift: float, seed: int) -> Array:
    """N(shift, I): the distance to N(0, I) is dimensions * shift²."""
    values = np.random.default_rng(seed).standard_normal((count, dimensions)) + shift
    return values.astype(np.float32)


def standard(dimensions: int) -> Gaussian:
    return diagonal([0] * dimensions, [1] * dimensions)


def distance_of(features: Array) -> float:
    """From the fit to features (N, D) to N(0, I)."""
    fit = Moments.of(torch.from_numpy(features)).gaussian()
    return frechet_distance(fit, standard(features.shape[1]))


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_the_line_is_nearer_the_truth_than_the_distance_is(shift: float) -> None:
    """N(shift, I) in 32 dimensions, 1000 samples; d² = 32 shift², and FID is about 0.3 above that."""
    for seed in each([1, 2, 3]):
        features, truth = gaussian_features(1000, 32, shift, seed), 32 * shift**2
        line = frechet_line(features, standard(32))
        whole = distance_of(features)
        assert [size for size, _ in line.points] == sorted(size for size, _ in line.points)
        assert line.points[0][0] == 500
        assert line.points[-1][0] == 1000
        assert line.points[-1][1] == pytest.approx(whole, rel=1e-9)
        assert whole > truth + 0.2
        assert abs(line.intercept - truth) < 0.75 * abs(whole - truth)
        assert line.slope > 0
        assert line.r_squared > 0.9


def test_fewer_samples_than_dimensions_too() -> None:
    """Each point is the FID of a fit of short rank; the least-squares line by hand, cov / var."""
    features = gaussian_features(60, 80, 0.0, seed=4)
    line = frechet_line(features, standard(80))
    assert len(line.points) == FID_POINTS
    assert line.points[0][0] == 30
    assert line.points[-1][1] == pytest.approx(distance_of(features), rel=1e-9)
    values = np.array([value for _, value in line.points])
    assert (np.diff(values) < 0).all(), "bias falls with the number of samples"
    inverse = np.array([1 / size for size, _ in line.points])
    cov = np.cov(inverse, values)
    assert line.slope == pytest.approx(cov[0, 1] / cov[0, 0], rel=1e-9)
    assert line.intercept == pytest.approx(values.mean() - line.slope * inverse.mean(), rel=1e-9)
    explained = cov[0, 1] ** 2 / (cov[0, 0] * cov[1, 1])
    assert line.r_squared == pytest.approx(explained, rel=1e-9)


def test_the_line_depends_on_the_seed_alone() -> None:
    features = gaussian_features(100, 4, 0.2, seed=5)
    line = frechet_line(features, standard(4))
    assert line == frechet_line(features.copy(), standard(4))
    other = frechet_line(features, standard(4), seed=1)
    assert other != line
    assert other.points[-1] == line.points[-1], "all of them are all of them"


def test_the_line_of_fewer_than_20() -> None:
    features = gaussian_features(20, 4, 0.0, seed=6)
    assert frechet_line(features, standard(4)).points[0][0] == 10
    with pytest.raises(InputError, match="at least 20 samples, got 19"):
        frechet_line(features[:19], standard(4))


@pytest.mark.parametrize("dimensions", [4, 200])
def test_the_line_of_features_that_are_not_finite(dimensions: int) -> None:
    """In more dimensions than samples no covariance is made: the check must be there as well."""
    features = gaussian_features(40, dimensions, 0.0, seed=7)
    features[3, 1] = np.nan
    with pytest.raises(InputError, match="not finite"):
        frechet_line(features, standard(dimensions))


def test_the_line_of_one_picture_many_times() -> None:
    """Every point is |μ|² + Tr I = 4 + 4: a line without slope that explains all there is."""
    line = frechet_line(np.ones((30, 4), np.float32), standard(4))
    assert line.intercept == pytest.approx(8, rel=1e-9)
    assert line.slope == pytest.approx(0, abs=1e-9)

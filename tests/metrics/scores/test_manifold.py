"""Manifolds on a line by hand, against loops over all pairs, and with the two sets swapped."""

import math
from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
import pytest
import torch
from tables import each
from toys import column, normal

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array
from nkca.metrics.scores import manifold as neighbours
from nkca.metrics.scores.manifold import Manifold, manifold, nearest_neighbours, squared_radii

Blocks = Iterator[tuple[int, int]]


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Blocks:
    """Blocks of all shapes: whole sets, and parts that miss the diagonal above and below it."""

    def shapes() -> Blocks:
        for rows, columns in each([(1024, 8192), (4, 6), (6, 4), (3, 100), (100, 3), (1, 1)]):
            monkeypatch.setattr(neighbours, "_ROWS", rows)
            monkeypatch.setattr(neighbours, "_COLUMNS", columns)
            yield rows, columns

    return shapes()


# loops over all pairs


def distances(a: Array, b: Array) -> list[list[float]]:
    return [[math.dist(x, y) for y in b.tolist()] for x in a.tolist()]


def radii(features: Array, k: int) -> list[float]:
    """To the k-th nearest other; itself is at place 0 of the sorted row."""
    return [sorted(row)[k] for row in distances(features, features)]


def by_loops(samples: Array, reference: Array) -> Manifold:
    between = distances(samples, reference)
    columns = list(zip(*between, strict=True))
    balls, wide, own = radii(reference, 3), radii(reference, 5), radii(samples, 3)
    hits = [[d <= r for d, r in zip(row, wide, strict=True)] for row in between]
    return Manifold(
        precision=float(
            np.mean([any(d <= r for d, r in zip(row, balls, strict=True)) for row in between])
        ),
        recall=float(
            np.mean([any(d <= r for d, r in zip(column, own, strict=True)) for column in columns])
        ),
        density=sum(map(sum, hits)) / (5 * len(samples)),
        coverage=float(np.mean([any(column) for column in zip(*hits, strict=True)])),
    )


@pytest.mark.parametrize(("seed", "counts"), [(1, (23, 31)), (2, (31, 23)), (3, (8, 40))])
def test_all_pairs_in_loops(seed: int, counts: tuple[int, int], blocks: Blocks) -> None:
    samples, reference = (
        normal(counts[0], 3, seed),
        normal(counts[1], 3, seed + 10),
    )
    samples[:, 0] += 1.5
    expected = astuple(by_loops(samples, reference))
    for _ in blocks:
        found = manifold(samples, reference)
        assert astuple(found) == pytest.approx(expected, rel=1e-12)
        assert all(0.1 < share < 1 for share in (found.precision, found.recall, found.coverage))


def test_radii_in_loops(blocks: Blocks) -> None:
    features = normal(29, 3, seed=4)
    for _ in blocks:
        found = squared_radii(features, 4).sqrt()
        assert found.dtype == torch.float64
        for k in range(1, 5):
            assert found[:, k - 1].tolist() == pytest.approx(radii(features, k), rel=1e-6)


@pytest.mark.parametrize("counts", [(17, 26), (26, 17)])
def test_the_nearest_in_loops(counts: tuple[int, int], blocks: Blocks) -> None:
    samples, others = normal(counts[0], 3, seed=5), normal(counts[1], 3, seed=6)
    expected = distances(samples, others)
    for _ in blocks:
        distance, index = nearest_neighbours(samples, others)
        assert distance.tolist() == pytest.approx([min(row) for row in expected], rel=1e-6)
        assert index.tolist() == [row.index(min(row)) for row in expected]


def test_the_nearest_other_in_loops(blocks: Blocks) -> None:
    features = normal(26, 3, seed=7)
    for _ in blocks:
        distance, index = nearest_neighbours(features, features, leave_out_itself=True)
        assert distance.tolist() == pytest.approx(radii(features, 1), rel=1e-6)
        assert all(where != row for row, where in enumerate(index.tolist()))
        assert nearest_neighbours(features, features)[0].tolist() == [0] * 26
        assert nearest_neighbours(features, features)[1].tolist() == list(range(26))


@pytest.mark.parametrize("counts", [(90, 70), (70, 90)])
def test_torch_fidelity_agrees(counts: tuple[int, int]) -> None:
    fidelity = pytest.importorskip("torch_fidelity.metric_prc", reason="no torch-fidelity here")
    samples, reference = (
        normal(counts[0], 6, seed=8, scale=0.8),
        normal(counts[1], 6, seed=9),
    )
    expected = fidelity.prc_features_to_metric(
        torch.from_numpy(samples),
        torch.from_numpy(reference),
        prc_neighborhood=3,
        prc_batch_size=16,
        save_cpu_ram=True,
        verbose=False,
    )
    found = manifold(samples, reference)
    assert found.precision == pytest.approx(expected["precision"], abs=1e-5)
    assert found.recall == pytest.approx(expected["recall"], abs=1e-5)
    assert 0.05 < found.recall < found.precision < 1


# by hand, on a line


def test_radii_on_a_line() -> None:
    """Of 0, 1, 3, 7: from 0 the others are at 1, 3, 7; from 1 at 1, 2, 6; from 3 at 2, 3, 4."""
    found = squared_radii(column(0, 1, 3, 7), 3)
    assert found.tolist() == [[1, 9, 49], [1, 4, 36], [4, 9, 16], [16, 36, 49]]


LINE = column(0, 1, 2, 3, 4, 5)
"""Third nearest others are 3, 2, 2, 2, 2, 3 away, fifth nearest ones 5, 4, 3, 3, 4, 5."""


def test_the_edge_of_a_ball_belongs_to_it() -> None:
    """The ball of 0 reaches 3, that of 5 reaches 8: -3 and 8 are inside, -4 and 9 are not."""
    assert manifold(column(-3, 8, -4, 9), LINE).precision == 0.5


def test_four_samples_on_a_line() -> None:
    """Samples 6, 7, 8, 9; balls of the reference end at 3, 3, 4, 5, 6, 8 (k = 3).

    precision: 6, 7, 8 are in the ball of 5; 9 is in none: 3/4.
    recall: third nearest other samples are 3, 2, 2, 3 away, so the balls reach down to 3, 5, 6, 6:
    of the reference 3, 4, 5 are inside: 1/2.
    density (k = 5): wide balls end at 5, 5, 5, 6, 8, 10: 6 is in three, 7 in two, 8 in two, 9 in one:
    8 / (5 * 4).
    coverage: the balls of 3, 4, 5 hold a sample: 1/2.
    """
    found = manifold(column(6, 7, 8, 9), LINE)
    assert found == Manifold(precision=0.75, recall=0.5, density=0.4, coverage=0.5)


def test_density_counts_balls() -> None:
    """2.5 is in all six balls of radius 3 or more: four such samples, density 6/5, and copies."""
    found = manifold(column(2.5, 2.5, 2.5, 2.5), LINE)
    assert found == Manifold(precision=1, recall=0, density=1.2, coverage=1)


# swapped


def two_modes() -> tuple[Array, Array]:
    """One mode of two, 60 points each of them, far apart; and both modes."""
    low, high = normal(60, 2, seed=10), normal(60, 2, seed=11) + np.float32(100)
    return normal(60, 2, seed=12), np.concatenate([low, high])


def test_one_mode_of_two_has_precision_but_half_the_recall() -> None:
    one, both = two_modes()
    found = manifold(one, both)
    assert found.precision > 0.85
    assert 0.4 < found.recall <= 0.5
    assert 0.4 < found.coverage <= 0.5
    assert 0.8 < found.density < 1.2, "as dense as the mode that it has"


def test_both_modes_against_one_are_the_swapped_numbers() -> None:
    one, both = two_modes()
    found, swapped = manifold(one, both), manifold(both, one)
    assert (swapped.precision, swapped.recall) == (found.recall, found.precision)
    assert swapped.coverage > 0.95
    assert 0.4 < swapped.density < 0.6, "half of the samples are in no ball"


def test_samples_that_are_too_much_alike() -> None:
    """The middle of the reference: nearly all precise and dense, but little reached and covered."""
    reference = normal(300, 2, seed=13)
    middle = normal(300, 2, seed=14, scale=0.1)
    found, swapped = manifold(middle, reference), manifold(reference, middle)
    assert found.precision > 0.9
    assert found.recall < 0.1
    assert 0.8 < found.density < 1.2
    assert found.coverage < 0.25
    assert swapped.precision < 0.1
    assert swapped.recall > 0.9
    assert swapped.density < 0.3


def test_equal_distributions() -> None:
    """Naeem et al.: density is 1 and coverage 1 - 2^-5 in expectation, for large equal sets."""
    found = manifold(normal(1000, 4, seed=15), normal(1000, 4, seed=16))
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)


# copies


def test_copies_are_at_distance_0_also_far_from_0() -> None:
    """|x|² + |y|² - 2 x·y of equal rows is not 0 in floating point; it has to be."""
    features = normal(50, 2048, seed=17) + np.float32(30)
    distance, index = nearest_neighbours(features[10:20], features)
    assert distance.tolist() == [0] * 10
    assert index.tolist() == list(range(10, 20))
    near = features[:10] + np.float32(1e-3)
    assert (nearest_neighbours(near, features)[0] > 0.04).all(), "0.001 √2048 = 0.045 is no copy"


def test_the_first_of_equals_is_named(blocks: Blocks) -> None:
    for _ in blocks:
        for columns in ((1, 5, 5, 5, 9), (5, 1, 5, 9, 5)):
            others = column(*columns)
            distance, index = nearest_neighbours(column(5), others)
            assert (distance.item(), index.item()) == (0, columns.index(5))


def test_duplicates_are_each_others_neighbours() -> None:
    features = column(0, 0, 4, 4, 4)
    distance, index = nearest_neighbours(features, features, leave_out_itself=True)
    assert distance.tolist() == [0] * 5
    assert index.tolist() == [1, 0, 3, 2, 2]
    assert squared_radii(features, 2)[:, 1].tolist() == [16, 16, 0, 0, 0]


def test_a_set_that_is_one_picture() -> None:
    """All radii are 0: a copy is inside, anything else is not."""
    same = np.full((8, 3), 7, np.float32)
    assert manifold(same, same) == Manifold(precision=1, recall=1, density=8 / 5, coverage=1)
    assert manifold(same + 1, same) == Manifold(precision=0, recall=0, density=0, coverage=0)


# too few


def test_too_few_images_in_either_place() -> None:
    """The reference needs 6, for density; samples need 4."""
    four, six = normal(4, 2, seed=18), normal(6, 2, seed=19)
    manifold(four, six)
    with pytest.raises(InputError, match="5 nearest neighbours need 6 images, got 5"):
        manifold(six, six[:5])
    with pytest.raises(InputError, match="3 nearest neighbours need 4 images, got 3"):
        manifold(four[:3], six)

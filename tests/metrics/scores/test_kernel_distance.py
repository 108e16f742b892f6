"""The kernel distance by hand, against its definition in loops, and against torch-fidelity."""

import itertools

import numpy as np
import pytest
import torch
from tables import each
from toys import column, normal

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array, Description
from nkca.metrics.scores import kernel_distance as kernel
from nkca.metrics.scores.kernel_distance import cmmd, kernel_distance
from nkca.metrics.scores.score import score
from nkca.metrics.statistics import Statistics


def k(x: Array, y: Array) -> float:
    return float((float(x.astype(float) @ y.astype(float)) / len(x) + 1) ** 3)


def by_definition(samples: Array, reference: Array) -> float:
    """The module's first formula: i ≠ j within a set, all pairs between them."""
    within = [
        np.mean([k(x, y) for x, y in itertools.permutations(members, 2)])
        for members in (samples, reference)
    ]
    between = np.mean([k(x, y) for x, y in itertools.product(samples, reference)])
    return float(sum(within) - 2 * between)


def test_two_against_two_by_hand() -> None:
    """k(x, y) = (x y + 1)³ for {0, 1} and {2, -1}.

    Within: k(0, 1) = 1; k(2, -1) = -1. Between: k(0, ·) = 1, 1; k(1, 2) = 27; k(1, -1) = 0: mean 29/4.
    1 - 1 - 2 * 29/4 = -14.5: the unbiased estimate may be negative.
    """
    found = kernel_distance(column(0, 1), column(2, -1))
    assert found.mean == pytest.approx(-14.5, rel=1e-12)
    assert (found.deviation, found.subsets, found.subset_size) == (0, 1, 2)


def test_the_dimension_divides_the_product() -> None:
    """In two dimensions (x·y / 2 + 1)³: within {(2, 0), (2, 0)} 27, {(0, 2), (0, 2)} 27, between 1."""
    right, up = np.array([[[2, 0]] * 2, [[0, 2]] * 2], np.float32)
    assert kernel_distance(right, up).mean == pytest.approx(27 + 27 - 2, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_definition_in_loops(seed: int) -> None:
    samples, reference = normal(9, 4, seed), normal(9, 4, seed + 10, shift=0.5)
    found = kernel_distance(samples, reference)
    assert found.mean == pytest.approx(by_definition(samples, reference), rel=1e-10)


@pytest.mark.parametrize(("subsets", "size"), [(10, 40), (25, 7), (3, 60)])
def test_torch_fidelity_agrees(subsets: int, size: int) -> None:
    fidelity = pytest.importorskip("torch_fidelity.metric_kid", reason="no torch-fidelity here")
    samples, reference = normal(80, 32, seed=1), normal(60, 32, seed=2, shift=0.2)
    expected = fidelity.kid_features_to_metric(
        torch.from_numpy(samples),
        torch.from_numpy(reference),
        kid_subsets=subsets,
        kid_subset_size=size,
        verbose=False,
    )
    found = kernel_distance(samples, reference, subsets, size)
    assert found.mean == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-5)
    assert found.deviation == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-5)
    assert (found.subsets, found.subset_size) == (subsets, size)


@pytest.mark.parametrize("rows", [1, 7, 39])
def test_blocks_of_any_size(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all draws are made at once, and where each is made alone."""
    samples, reference = normal(40, 5, seed=11), normal(33, 5, seed=12)
    cases = [(50, 30), (2, 5)]
    expected = [kernel_distance(samples, reference, *case) for case in cases]
    monkeypatch.setattr(kernel, "_ROWS", rows)
    for case, whole in zip(cases, expected, strict=True):
        found = kernel_distance(samples, reference, *case)
        assert found.mean == pytest.approx(whole.mean, rel=1e-10)
        assert found.deviation == pytest.approx(whole.deviation, rel=1e-10)


def test_it_is_unbiased() -> None:
    """Of equal distributions the mean over 300 pairs of sets of 20 is 0 within 4 standard errors.

    The control is the biased estimate of the same sets, with i = j: it is not.
    """
    found, biased = [], []
    for seed in range(300):
        samples, reference = normal(20, 8, 2 * seed), normal(20, 8, 2 * seed + 1)
        found.append(kernel_distance(samples, reference).mean)
        gram = [(a @ b.T / 8 + 1) ** 3 for a, b in ((samples, samples), (reference, reference))]
        biased.append(
            sum(g.mean() for g in gram) - 2 * ((samples @ reference.T / 8 + 1) ** 3).mean()
        )
    error = np.std(found) / 300**0.5
    assert abs(np.mean(found)) < 4 * error
    assert np.mean(biased) > 20 * error


def test_it_grows_with_the_distance() -> None:
    reference = normal(200, 8, seed=3)
    values = [
        kernel_distance(normal(200, 8, seed=4, shift=shift), reference).mean
        for shift in (0, 0.3, 0.6, 1.2)
    ]
    assert values == sorted(values)
    assert abs(values[0]) < 0.1 * values[1]


def test_subsets_are_no_larger_than_the_smaller_set() -> None:
    large, small = normal(50, 3, seed=5), normal(12, 3, seed=6)
    for pair in ((large, small), (small, large)):
        found = kernel_distance(*pair, subsets=4)
        assert (found.subset_size, found.subsets) == (12, 4)
        assert found.deviation > 0, "the larger set is drawn from"
    whole = kernel_distance(small, small)
    assert (whole.subset_size, whole.subsets, whole.deviation) == (12, 1, 0)


def test_the_seed_decides_the_draws() -> None:
    samples, reference = normal(50, 3, seed=7), normal(50, 3, seed=8)
    draw = kernel_distance(samples, reference, 5, 10)
    assert draw == kernel_distance(samples.copy(), reference, 5, 10)
    assert draw != kernel_distance(samples, reference, 5, 10, seed=1)


def test_one_image_is_too_few_in_either_place() -> None:
    one, two = normal(1, 3, seed=9), normal(2, 3, seed=10)
    assert kernel_distance(two, two).subset_size == 2
    for pair in ((one, two), (two, one)):
        with pytest.raises(InputError, match="at least 2 images in each set"):
            kernel_distance(*pair)


def test_cmmd_is_the_distance_by_definition() -> None:
    x, y = normal(30, 4, seed=11), normal(20, 4, seed=12, shift=0.5)
    a, b = (v / np.linalg.norm(v.astype(float), axis=1, keepdims=True) for v in (x, y))

    def mean(left: Array, right: Array) -> float:
        squared = np.square(left[:, None] - right[None]).sum(2)
        return float(np.exp(-squared / 200).mean())

    expected = 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))
    assert expected > 0.1
    assert cmmd(x, y) == pytest.approx(expected, rel=1e-9)
    assert cmmd(y, 3 * x) == pytest.approx(expected, rel=1e-6), "lengths play no part"
    assert cmmd(x, x) == pytest.approx(0, abs=1e-9)


def test_cmmd_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(30, 4, seed=11), normal(20, 4, seed=12, shift=0.5)
    whole = cmmd(x, y)
    monkeypatch.setattr(kernel, "_ROWS", 7)
    assert cmmd(x, y) == pytest.approx(whole, rel=1e-9)


def test_cmmd_agrees_with_torch_fidelity() -> None:
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    x, y = (
        torch.nn.functional.normalize(torch.from_numpy(normal(n, 4, seed=n)).double()).numpy()
        for n in (30, 20)
    )
    pairs = ((x, x), (y, y), (x, y))
    kernels = [fidelity.kernel_rbf(*pair, kid_kernel_rbf_sigma=10.0) for pair in pairs]
    own, other, across = (float(found.mean()) for found in kernels)
    expected = 1000 * (own + other - 2 * across)
    assert cmmd(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(expected, rel=1e-5)


def test_cmmd_is_a_score_of_clip_alone() -> None:
    x, y = normal(30, 4, seed=11), normal(20, 4, seed=12)
    for name, has in each([("clip-vit-l-14", True), ("inception", False)]):
        about = Description(name, "", "")
        scores = score(Statistics(x, extractor=about), Statistics(y, extractor=about))
        assert (scores.cmmd is not None) == has
        assert "cmmd" not in scores.missing
    assert "cmmd" in score(Statistics(x, extractor=Description("clip", "", ""))).missing

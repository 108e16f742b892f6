"""The Inception Score by hand, at its bounds, and against torch-fidelity."""

import math

import numpy as np
import pytest
import torch
from toys import normal

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array
from nkca.metrics.scores.inception_score import inception_score


def certain(*classes: int, of: int = 4) -> Array:
    """Logits so far apart that all other probabilities are exactly 0."""
    return 10_000 * np.eye(of, dtype=np.float32)[list(classes)]


def test_by_hand() -> None:
    """p(c|x) = (3/4, 1/4) and (1/4, 3/4), p(c) = (1/2, 1/2): KL = 3/4 ln 3/2 + 1/4 ln 1/2 for both."""
    logits = np.array([[math.log(3) + 5, 5], [-2, math.log(3) - 2]], np.float32)
    expected = math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    found = inception_score(logits, splits=1)
    assert found.mean == pytest.approx(expected, rel=1e-6)
    assert (found.deviation, found.splits) == (0, 1)


def test_images_that_look_alike_score_1() -> None:
    alike = np.tile(normal(1, 7, seed=1, scale=2.0), (20, 1))
    assert inception_score(alike).mean == pytest.approx(1, abs=1e-12)
    assert inception_score(np.zeros((20, 7), np.float32)).mean == pytest.approx(1, abs=1e-12)
    assert inception_score(certain(*[2] * 20)).mean == 1


def test_certain_and_even_scores_the_number_of_classes() -> None:
    """KL = ln 3 for each image, also where a class never occurs: 0 ln 0 = 0."""
    assert inception_score(certain(0, 1, 3), splits=1).mean == pytest.approx(3, rel=1e-12)
    assert inception_score(certain(0, 1, 2, 3), splits=1).mean == pytest.approx(4, rel=1e-12)


def test_the_mean_is_of_the_divergence_not_of_the_score() -> None:
    """p(c) = (2/3, 1/3): exp((2 ln 3/2 + ln 3) / 3), not the mean of 3/2, 3/2 and 3."""
    found = inception_score(certain(0, 0, 1), splits=1).mean
    assert found == pytest.approx(math.exp((2 * math.log(1.5) + math.log(3)) / 3), rel=1e-12)
    assert found < 2


@pytest.mark.parametrize(("count", "splits"), [(100, 10), (103, 10), (57, 4), (10, 10)])
def test_torch_fidelity_agrees(count: int, splits: int) -> None:
    """Also where the parts are not of one size."""
    fidelity = pytest.importorskip("torch_fidelity.metric_isc", reason="no torch-fidelity here")
    logits = normal(count, 20, seed=count, scale=2.0)
    expected = fidelity.isc_features_to_metric(torch.from_numpy(logits), splits)
    found = inception_score(logits, splits)
    assert found.mean == pytest.approx(expected["inception_score_mean"], rel=1e-5)
    assert found.deviation == pytest.approx(expected["inception_score_std"], rel=1e-5, abs=1e-9)


def test_samples_in_order_of_class_are_shuffled() -> None:
    """100 images of each of 4 classes, one after the other: unshuffled, a tenth holds one class."""
    logits = certain(*np.repeat(range(4), 100).tolist())
    assert inception_score(logits).mean > 3.5
    found = inception_score(logits, seed=1)
    assert found == inception_score(logits, seed=1)
    assert found != inception_score(logits)


def test_a_constant_added_to_all_logits_of_an_image_changes_nothing() -> None:
    logits = normal(40, 6, seed=2, scale=2.0)
    shifted = logits + 4 * np.arange(40, dtype=np.float32)[:, None]
    assert inception_score(shifted).mean == pytest.approx(inception_score(logits).mean, rel=1e-5)


def test_fewer_images_than_splits() -> None:
    logits = normal(9, 5, seed=3, scale=2.0)
    with pytest.raises(InputError, match="over 10 splits needs 10 images, got 9"):
        inception_score(logits)
    assert inception_score(logits, splits=9).mean == 1, "alone, an image is its class's mean"

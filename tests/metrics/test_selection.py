"""Selection finds the samples that look like data, and says when it found nothing."""

import math

import numpy as np
import pytest
import torch
from toys import random_pictures

from nkca.errors import InputError
from nkca.metrics.selection import select, selection_gain
from nkca.pixels import as_tensor

COUNT = 120


def pictures(seed: int, count: int = COUNT) -> torch.Tensor:
    """Pictures of a colour and noise, uint8 (count, 3, 8, 8)."""
    return as_tensor(random_pictures(count, seed)).contiguous()


def striped(images: torch.Tensor) -> torch.Tensor:
    """Every second line is black, as no picture of the data is."""
    images = images.clone()
    images[:, :, ::2] = 0
    return images


def features(images: torch.Tensor) -> np.ndarray:
    """Means of rows: features that the classifier does not use."""
    return (images.float() / 255).mean(3).flatten(1).numpy()


def test_good_samples_are_chosen_and_the_gain_is_seen_on_held_out_data() -> None:
    data = pictures(1, 300)
    samples = torch.cat([pictures(2), striped(pictures(3))])
    found = select(samples, data, 60)
    good = sum(number < COUNT for number in found.chosen)
    assert good >= 50  # by chance 30
    assert found.losses[0] < 0.6 < found.losses[1]
    ratios = found.log_ratios
    assert ratios[:COUNT].mean() > ratios[COUNT:].mean() + 1
    assert list(found.chosen) == sorted(found.chosen, key=lambda n: -ratios[n])
    gain = selection_gain(features(samples), features(data[list(found.held_out)]), found.chosen)
    assert gain.selected < gain.random - 3 * gain.deviation
    assert gain.describe().endswith(": a gain")


def test_of_samples_with_the_law_of_the_data_none_is_better() -> None:
    """The negative control."""
    data, samples = pictures(1, 300), pictures(2)
    found = select(samples, data, 30)
    assert found.losses[0] == pytest.approx(math.log(2), abs=0.03)
    gain = selection_gain(features(samples), features(data[list(found.held_out)]), found.chosen)
    assert "no gain beyond chance" in gain.describe()


def test_the_same_seed_selects_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nkca.metrics.selection.STEPS", 20)
    data, samples = pictures(1, 40), pictures(2, 40)
    one, same, other = (select(samples, data, 8, seed).chosen for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.parametrize(
    ("samples", "data", "count", "says"),
    [
        (19, 40, 4, "samples to select from must be at least 20"),
        (40, 19, 4, "data to select by must be at least 20"),
        (40, 40, 40, r"number to select must be in 1\.\.39"),
        (40, 40, 0, r"number to select must be in 1\.\.39"),
    ],
)
def test_too_few_are_refused(samples: int, data: int, count: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        select(pictures(1, samples), pictures(2, data), count)

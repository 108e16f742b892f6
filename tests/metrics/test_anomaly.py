"""Scores of anomaly: the path by hand, other data told from a Gaussian, the same data not."""

import itertools
import math

import numpy as np
import pytest
import torch
from tables import each
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.exact import GaussianDenoiser
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.metrics.anomaly import EVALUATIONS, STEPS, auroc, features_of, synthetic_sets, told_apart
from nkca.models.model import Model
from nkca.noise import Noise
from nkca.pixels import ContinuousPixels
from nkca.sampling.ladders import sigma_ladder

SHAPE, MEAN, STD = (1, 6, 6), -0.2, 0.3
PIXELS = ContinuousPixels()
DENOISER = GaussianDenoiser(torch.tensor(MEAN), torch.tensor(STD))
MODEL = Model(Chain(ContinuousKernel(), DENOISER, 0.5), PIXELS, SHAPE, 0.001, torch.device("cpu"))


def images(count: int, seed: int, mean: float = MEAN, std: float = STD) -> Tensor:
    law = Normal(torch.full((count, *SHAPE), mean), torch.tensor(std))
    return PIXELS.to_uint8(law.sample(Noise(range(seed, seed + count))))


def test_energies_and_changes_are_those_of_the_path_of_a_gaussian() -> None:
    """D(x) = m + g (x - a m), g = a s² / (a² s² + b): the path of a pixel is a recursion of numbers."""
    some = images(3, seed=1)
    found = features_of(MODEL, some)
    assert found.energies.shape == (3, STEPS + 1)
    assert found.changes.shape == (3, STEPS)
    levels = sigma_ladder(1.0, 0.001, STEPS)[::-1]
    for row, image in enumerate(some):
        paths = []
        for z in (image.double() / 127.5 - 1).flatten().tolist():
            x, path = (1 - levels[0]) * z, []
            for b, b_next in itertools.pairwise([*levels, 1.0]):
                a = 1 - b
                mean = MEAN + a * STD**2 / (a * a * STD**2 + b) * (x - a * MEAN)
                path.append((x - a * mean) / math.sqrt(b))
                x = (1 - b_next) * mean + math.sqrt(b_next) * path[-1]
            paths.append(path)
        e = np.array(paths)
        assert found.energies[row].numpy() == pytest.approx((e**2).mean(0), rel=1e-4)
        assert found.changes[row].numpy() == pytest.approx(
            (np.diff(e, axis=1) ** 2).mean(0), rel=2e-3, abs=1e-9
        )


def test_other_data_are_told_and_the_same_are_not() -> None:
    ticks: list[tuple[int, int]] = []
    found = told_apart(
        MODEL,
        images(240, seed=1),
        {
            "the same": images(120, seed=1000),
            "shifted": images(60, seed=2000, mean=0.2),
            "calm": images(60, seed=3000, std=0.1),
        },
        tick=lambda done, total: ticks.append((done, total)),
    )
    assert (found.fitted, found.held_out) == (120, 120)
    assert list(found.sets)[3:] == ["uniform noise", "constants", "interpolations"]
    assert ticks[-1][0] == ticks[-1][1] == EVALUATIONS * (240 + 120 + 60 + 60 + 3 * 120)
    assert ticks == sorted(ticks)
    error = 1 / math.sqrt(12 * 120) * math.sqrt(2)
    assert abs(found.sets["the same"].noise_path - 0.5) < 4 * error
    assert abs(found.sets["the same"].energy_and_smoothness - 0.5) < 4 * error
    assert found.sets["the same"].images == 120
    assert found.sets["interpolations"].energy_and_smoothness > 0.8
    for name in each(["shifted", "calm", "uniform noise", "constants"]):
        assert found.sets[name].noise_path > 0.9
    assert found.sets["calm"].reconstruction < 0.1  # too easy to denoise: that score is fooled
    assert "uniform noise" in str(found)


def test_auroc_counts_pairs() -> None:
    random = np.random.default_rng(0)
    for high in each([3, 1000]):  # many ties, few
        real = random.integers(0, high, 30).astype(np.float64)
        strange = random.integers(1, high + 2, 17).astype(np.float64)
        above = (strange[:, None] > real).mean() + (strange[:, None] == real).mean() / 2
        assert auroc(real, strange) == pytest.approx(above)
        assert auroc(strange, real) == pytest.approx(1 - above)


def test_synthetic_sets_are_what_they_are_called() -> None:
    some = images(5, seed=1)
    made = synthetic_sets(some, seed=0)
    assert all(part.shape == some.shape and part.dtype == torch.uint8 for part in made.values())
    assert made["uniform noise"].double().std() > 60
    assert (made["constants"].flatten(1).double().std(1) == 0).all()
    assert made["constants"][:, 0, 0, 0].double().std() > 1
    mean = (some[0].double() + some[4].double()) / 2
    assert (made["interpolations"][0] - mean).abs().max() <= 0.5
    assert not torch.equal(made["uniform noise"], synthetic_sets(some, seed=1)["uniform noise"])


def test_what_cannot_be_scored_is_refused() -> None:
    categories = Model(
        Chain(CategoricalKernel(4), DENOISER, 0.5), PIXELS, SHAPE, 0.01, torch.device("cpu")
    )
    for model, some, said in each(
        [
            (MODEL, images(99, seed=1), "at least 100, got 99"),
            (MODEL, torch.zeros(100, 1, 5, 5, dtype=torch.uint8), "must be of"),
            (categories, images(100, seed=1), "continuous pixels"),
        ]
    ):
        with pytest.raises(InputError, match=said):
            told_apart(model, some, {})

"""Perceptual path length: a linear generator by hand, and torch-fidelity's number for the same one."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tables import each
from torch import Tensor, nn
from toys import ToyExtractor

from nkca.chain import Chain
from nkca.denoisers.exact import GaussianDenoiser
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.metrics.extractors.contract import Extractor
from nkca.metrics.extractors.pixels import PixelsExtractor
from nkca.metrics.path_length import perceptual_path_length, slerp, squared_steps, trimmed
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.pixels import CategoricalPixels, ContinuousPixels
from nkca.sampling.tasks import Schedule

SHAPE = (3, 4, 4)
SHORT = Schedule(num_steps=6, ladder="sigma", sampler="ddim")
DENOISER = GaussianDenoiser(torch.tensor(0.1), torch.tensor(0.2))
CHAIN = Chain(ContinuousKernel(), DENOISER, 0.5)
MODEL = Model(CHAIN, ContinuousPixels(), SHAPE, 0.001, torch.device("cpu"))


def test_the_path_length_of_a_linear_flow() -> None:
    """For Gaussian data the flow is affine, G(x) = c + k x: |dG| = k |dx|, where |dx| = angle |x| eps."""
    ends = [torch.zeros(1, *SHAPE), torch.ones(1, *SHAPE)]
    pictures = []
    for x in ends:
        *_, last = SHORT.sample_with(MODEL)(CHAIN, x, SHORT.levels(MODEL), Noise([]))
        pictures.append(last.p_z.mean[0, 0, 0, 0].double().item())
    c, k = pictures[0], pictures[1] - pictures[0]
    found = perceptual_path_length(MODEL, PixelsExtractor(), SHORT, pairs=400, epsilon=1e-3)
    assert (found.pairs, found.kept, found.sampler, found.levels) == (400, 394, "ddim", 7)
    by_hand = []
    for row in range(400):
        noise, like = Noise([derive_seed("path length", 0, row)]), torch.empty(1, *SHAPE)
        x, y = noise.normal(like), noise.normal(like)
        t = noise.uniform(like[:, 0, 0, 0])
        near, far = (c + k * slerp(x, y, t + s).double().flatten() for s in (-1e-3, 1e-3))
        step = (far / far.norm() - near / near.norm()).norm().item() / 2e-3
        by_hand.append(step**2)
    expected = np.sort(np.array(by_hand))[3:397].mean()
    assert found.ppl == pytest.approx(expected, rel=0.02)


def test_slerp_keeps_to_the_arc() -> None:
    x, y = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    for t in each([0.0, 0.25, 1.0]):
        angle = t * math.pi / 2
        expected = torch.tensor([[3 * math.cos(angle), 3 * math.sin(angle)]])
        assert torch.allclose(slerp(x, y, torch.tensor([t])), expected, atol=1e-6)
    parts = slerp(x.expand(2, 2), y.expand(2, 2), torch.tensor([0.0, 1.0]))
    assert torch.allclose(parts, torch.cat([x, y]), atol=1e-6)


def test_the_percentiles_themselves_are_kept() -> None:
    values = np.random.default_rng(0).permutation(1000.0 * np.arange(101))
    assert sorted(trimmed(values)) == (1000.0 * np.arange(1, 100)).tolist()
    assert trimmed(values[:5]).tolist() == values[:5].tolist()


class Generator(nn.Module):
    """(B, 8) -> (B, 3, 2, 2): not linear, so that the length depends on the path."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(12, 8, generator=torch.Generator().manual_seed(1))
        self.weight = nn.Parameter(weight / 4)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z.float() @ self.weight.T).view(-1, 3, 2, 2)


def distance(one: Tensor, other: Tensor) -> Tensor:
    return (one.double() - other.double()).flatten(1).square().sum(1)


def test_the_number_is_that_of_torch_fidelity() -> None:
    """The same generator and similarity; starts of its own: equal within the error of both.

    Nothing is left out, as torch-fidelity 0.4 does that with an argument that NumPy 2.4 no longer has.
    """
    torch_fidelity = pytest.importorskip("torch_fidelity", reason="it is not installed")

    class Similarity(torch_fidelity.SampleSimilarityBase):  # type: ignore[name-defined,misc]
        def __init__(self, name: str, **_options: Any) -> None:
            super().__init__(name)

        def forward(self, *args: Any) -> Tensor:
            return distance(*args)

    torch_fidelity.register_sample_similarity("squares", Similarity)
    generator, count = Generator().eval(), 4000
    theirs = torch_fidelity.calculate_metrics(
        input1=torch_fidelity.GenerativeModelModuleWrapper(generator, 8, "normal", 0),
        input1_model_num_samples=count,
        ppl=True,
        ppl_epsilon=1e-3,
        ppl_sample_similarity="squares",
        ppl_sample_similarity_resize=None,
        ppl_sample_similarity_dtype="float32",
        ppl_z_interp_mode="slerp_any",
        ppl_discard_percentile_lower=None,
        ppl_discard_percentile_higher=None,
        batch_size=500,
        cuda=False,
        verbose=False,
    )
    mean = theirs[torch_fidelity.KEY_METRIC_PPL_MEAN]
    deviation = theirs[torch_fidelity.KEY_METRIC_PPL_STD]
    noise = Noise(range(count))
    like = torch.empty(count, 8)
    ends, t = (noise.normal(like), noise.normal(like)), noise.uniform(like[:, 0])
    with torch.no_grad():
        ours = squared_steps(generator, distance, ends, t, 1e-3).numpy()
        near = (ends[0] / 2, ends[1] / 2)
        wrong = squared_steps(generator, distance, near, t, 1e-3).numpy()
    error = math.hypot(ours.std(), deviation) / math.sqrt(count)
    assert abs(ours.mean() - mean) < 4 * error
    assert abs(wrong.mean() - mean) > 10 * error  # of starts that are too near: another number


def test_what_has_no_path_is_refused() -> None:
    pixels, toy = PixelsExtractor(), ToyExtractor()
    categories = replace(CHAIN, kernel=CategoricalKernel(4))
    discrete = replace(MODEL, chain=categories, pixels=CategoricalPixels(4))
    rows: list[tuple[Model, Extractor, Schedule, int, str]] = [
        (discrete, pixels, SHORT, 4, "continuous pixels"),
        (replace(MODEL, data_shape=(4, 4, 4)), pixels, SHORT, 4, "without transparency"),
        (MODEL, toy, SHORT, 4, "unrounded images: .* not toy"),
        (MODEL, pixels, Schedule(sampler="chain"), 4, "deterministic sampler .* got chain"),
        (MODEL, pixels, replace(SHORT, corrector_steps=1), 4, "without corrector steps"),
        (MODEL, pixels, SHORT, 1, "at least 2, got 1"),
    ]
    for model, extractor, schedule, pairs, said in each(rows):
        with pytest.raises(InputError, match=said):
            perceptual_path_length(model, extractor, schedule, pairs=pairs)

"""Guidance: what it does to a posterior, to samples whose law is known, and where it is refused."""

import dataclasses
import math

import pytest
import torch
from tables import each
from torch import Tensor

from nkca.chain import Chain
from nkca.config.sampling import SamplingConfig
from nkca.denoisers.exact import GaussianDenoiser
from nkca.denoisers.guidance import Guided
from nkca.distributions.categorical import Categorical
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.kernels.continuous import ContinuousKernel
from nkca.models.model import Model
from nkca.pixels import ContinuousPixels
from nkca.sampling.tasks import Schedule, from_noise, run_task

KERNEL = ContinuousKernel()
STRONG, WEAK = (GaussianDenoiser(torch.tensor(mean), torch.tensor(0.2)) for mean in (0.3, 0.1))


def model(**changes: object) -> Model:
    chain = Chain(KERNEL, STRONG, 0.5)
    sampling = SamplingConfig("ddim", "sigma", 30, guidance=2.0)
    whole = Model(
        chain, ContinuousPixels(), (1, 2, 2), 1e-4, torch.device("cpu"), sampling, weak=WEAK
    )
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


def mean_of_samples(subject: Model, guidance: float | None) -> float:
    *_, last = run_task(subject, from_noise(range(400)), Schedule(guidance=guidance))
    return last.p_z.mean.mean().item()


def test_strength_one_is_the_denoiser_and_two_is_as_far_again() -> None:
    x, level = torch.linspace(-2, 2, 12).view(3, 1, 2, 2), torch.tensor([0.1, 0.4, 0.9])
    strong, weak = STRONG(x, level), WEAK(x, level)
    for strength in each([0.0, 1.0, 2.0, 3.5]):
        guided = Guided(STRONG, WEAK, strength)(x, level)
        assert isinstance(guided, Normal)
        expected = weak.mean + strength * (strong.mean - weak.mean)
        torch.testing.assert_close(guided.mean, expected)
        assert isinstance(strong, Normal)
        assert torch.equal(guided.std, strong.std)


def test_levels_stay_a_distribution_and_move_away_from_the_weak_model() -> None:
    strong = Categorical(torch.tensor([0.5, 0.3, 0.2]).log().expand(1, 1, 1, 1, 3))
    weak = Categorical(torch.tensor([0.2, 0.3, 0.5]).log().expand(1, 1, 1, 1, 3))
    moved = strong.away_from(weak, 1.0).log_probs.exp().flatten()
    weights = torch.tensor([0.5 * 2.5, 0.3, 0.2 * 0.4])
    torch.testing.assert_close(moved, weights / weights.sum())
    torch.testing.assert_close(strong.away_from(weak, 0.0).log_probs, strong.log_probs)
    with pytest.raises(TypeError, match="cannot be guided by a Normal"):
        strong.away_from(Normal(torch.zeros(1), torch.ones(1)), 1.0)


def test_samples_lie_as_much_further_from_the_weak_model_as_was_asked() -> None:
    """Both models know the same variance: so guidance by g moves the mean of the samples to 0.1 + g 0.2."""
    for guidance, expected in each([(1.0, 0.3), (2.0, 0.5), (None, 0.5)]):
        found = mean_of_samples(model(), guidance)
        assert math.isclose(found, expected, abs_tol=0.02)
    found = mean_of_samples(model(weak=None), None)  # what is not there cannot guide
    assert math.isclose(found, 0.3, abs_tol=0.02)


def test_the_chain_itself_is_not_guided() -> None:
    whole = model()
    assert whole.chain.denoiser is STRONG
    assert whole.guided(1.0) is whole.chain
    assert isinstance(whole.guided(whole.guidance).denoiser, Guided)


def test_a_walk_at_one_level_is_guided_only_if_one_asks() -> None:
    walk = Schedule(0.3, 0.3, num_steps=2, ladder="linear", sampler="chain")
    assert walk.strength(model()) == 1.0
    assert dataclasses.replace(walk, guidance=1.5).strength(model()) == 1.5
    assert Schedule().strength(model()) == 2.0
    assert Schedule(corrector_steps=1).strength(model()) == 1.0


def test_a_model_without_a_weak_one_says_what_is_missing() -> None:
    with pytest.raises(InputError, match=r"guidance 1.5 needs a weak model.*weak_at"):
        mean_of_samples(model(weak=None), 1.5)


def test_a_posterior_that_cannot_be_moved_is_named() -> None:
    class Point:
        mean = torch.zeros(1, 1, 1, 1)

        def mode(self) -> Tensor:
            return self.mean

        def hold(self, mask: Tensor, image: Tensor) -> "Point":
            assert mask.shape == image.shape
            return self

    def denoise(x: Tensor, noise_level: Tensor) -> Point:
        assert len(x) == len(noise_level)
        return Point()

    with pytest.raises(TypeError, match="Point cannot be guided"):
        Guided(denoise, denoise, 2.0)(Point.mean, torch.ones(1))

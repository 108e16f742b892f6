"""Many samples from one walk: the law of the data, and the same sample in any batch."""

import math

import pytest
import torch

from nkca.chain import Chain
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser
from nkca.errors import InputError
from nkca.kernels.continuous import ContinuousKernel
from nkca.models.model import Model
from nkca.pixels import ContinuousPixels
from nkca.sampling.tasks import Schedule, run_task
from nkca.sampling.walks import from_walks

SCHEDULE = Schedule(0.6, 1e-3, 8, "sigma", "dpm2m")


def model_of(denoiser: GaussianDenoiser | ImageListDenoiser) -> Model:
    chain = Chain(ContinuousKernel(), denoiser, 0.5)
    return Model(chain, ContinuousPixels(), (1, 1, 2), 1e-3, torch.device("cpu"))


def gaussian() -> Model:
    return model_of(GaussianDenoiser(torch.tensor(0.1), torch.tensor(0.4)))


def finals(model: Model, seeds: list[int], samples_per_walk: int) -> torch.Tensor:
    *_, last = run_task(model, from_walks(seeds, samples_per_walk), SCHEDULE)
    return last.p_z.mode()


def test_samples_have_the_law_of_the_data_at_every_place_of_a_walk() -> None:
    count, length = 3000, 3
    z = finals(gaussian(), list(range(count * length)), length).view(count, length, 2)
    for number in range(length):
        place = z[:, number].flatten()
        assert abs(place.mean() - 0.1) < 4 * 0.4 / math.sqrt(len(place))
        assert (
            abs(place.std() / 0.4 - 1) < 4 / math.sqrt(2 * len(place)) + 0.01
        )  # ends at level 1e-3


def test_two_images_are_drawn_equally_often_and_neighbours_are_often_the_same() -> None:
    images = torch.tensor([[[[-0.9, 0.3]]], [[[0.6, -0.4]]]])
    model = model_of(ImageListDenoiser(ContinuousKernel(), images))
    z = finals(model, list(range(4000)), 4)
    first = ((z - images[0]).abs().amax((1, 2, 3)) < 0.05).view(1000, 4)
    walks = first.float().mean(1)  # independent of each other
    assert abs(walks.mean() - 0.5) < 4 * walks.std() / math.sqrt(len(walks))
    same = (first[:, 0] == first[:, 1]).float().mean()
    assert 0.55 < same < 0.999  # they resemble, and yet move


def test_a_seed_is_the_same_sample_in_any_batch() -> None:
    whole = finals(gaussian(), list(range(10)), 4)
    for part in ([3], [9, 2], [5, 4, 7]):
        assert torch.allclose(finals(gaussian(), part, 4), whole[part], atol=1e-6)


def test_bad_numbers() -> None:
    with pytest.raises(InputError, match="samples_per_walk must be at least 1, got 0"):
        from_walks([1], 0)
    with pytest.raises(InputError, match="steps_between must be at least 1, got 0"):
        from_walks([1], 2, 0)

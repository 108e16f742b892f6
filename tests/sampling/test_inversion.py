"""Inversion returns to the noise that made an image; where no noise makes it, the error says so."""

import pytest
import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.denoisers.exact import GaussianDenoiser, ImageListDenoiser
from nkca.errors import InputError
from nkca.kernels.categorical import CategoricalKernel
from nkca.kernels.continuous import ContinuousKernel
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.pixels import ContinuousPixels
from nkca.sampling import inversion
from nkca.sampling.editing import edit
from nkca.sampling.inversion import generate, invert
from nkca.sampling.ladders import sigma_ladder
from nkca.sampling.tasks import Schedule, draw_task

KERNEL = ContinuousKernel()
LEVELS = sigma_ladder(1.0, 1e-3, 40)


def doubles(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def gaussian() -> Chain:
    return Chain(KERNEL, GaussianDenoiser(doubles(0.1), doubles(0.25)), 0.5)


def noise(count: int = 3) -> Tensor:
    return sample_noise(range(count)).normal(torch.empty(count, 1, 4, 5, dtype=torch.float64))


def test_the_noise_that_made_an_image_is_found() -> None:
    x = noise()
    found = invert(gaussian(), generate(gaussian(), x, LEVELS), LEVELS)
    assert (found.noise - x).abs().max() < 0.02
    assert found.error.max() < 2e-4  # a fortieth of a byte


def test_without_the_fixed_point_the_way_back_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: one round is the usual inversion, whose slope is that of the wrong end."""
    z = generate(gaussian(), noise(), LEVELS)
    exact = invert(gaussian(), z, LEVELS).error.max()
    monkeypatch.setattr(inversion, "MAX_ROUNDS", 1)
    assert invert(gaussian(), z, LEVELS).error.max() > 20 * exact


def test_an_image_of_the_list_comes_back_and_another_does_not() -> None:
    images = torch.linspace(-0.9, 0.8, 3 * 20, dtype=torch.float64).view(3, 1, 4, 5)
    chain = Chain(KERNEL, ImageListDenoiser(KERNEL, images), 0.5)
    assert invert(chain, images, LEVELS).error.max() < 1e-4
    other = images[:1] + 0.5
    found = invert(chain, other, LEVELS)
    distance = (images - other).square().flatten(1).mean(1).sqrt().min()
    assert found.error.item() > 0.9 * distance.item()


def test_the_error_is_of_the_picture_that_the_noise_makes() -> None:
    z = noise()  # far too wild for these data, so that something is left
    found = invert(gaussian(), z, LEVELS)
    back = generate(gaussian(), found.noise, found.levels)
    expected = (back - z).square().flatten(1).mean(1).sqrt()
    assert torch.equal(found.error, expected)


@pytest.mark.parametrize("levels", [[1.0, 0.5, 0.1], [0.9, 0.9, 0.1], [0.1, 0.5]])
def test_levels_that_do_not_fall_below_one_are_refused(levels: list[float]) -> None:
    with pytest.raises(InputError, match="below 1 that fall"):
        invert(gaussian(), noise(), levels)


def test_categories_are_refused() -> None:
    kernel = CategoricalKernel(3)
    chain = Chain(kernel, ImageListDenoiser(kernel, torch.zeros(1, 1, 4, 5).long()), 0.95)
    with pytest.raises(InputError, match="no deterministic flow"):
        invert(chain, noise(), LEVELS)


def model_of(mean: float) -> Model:
    """A model of Gaussian pixels."""
    chain = Chain(KERNEL, GaussianDenoiser(torch.tensor(mean), torch.tensor(0.25)), 0.5)
    return Model(chain, ContinuousPixels(), (1, 4, 5), 1e-3, torch.device("cpu"))


def test_an_image_that_is_not_changed_comes_back_and_a_changed_model_moves_it() -> None:
    """Of Gaussian data moved by d, the flow from the same noise makes the image moved by d."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(80, 160, (3, 1, 4, 5), generator=random).to(torch.uint8)
    here, moved = model_of(0.0), model_of(0.2)
    same = draw_task(here, edit(images, range(3), here), Schedule()).int()
    assert (same - images).abs().max() <= 1
    other = draw_task(moved, edit(images, range(3), here), Schedule()).int()
    assert (other - images - 0.2 * 127.5).abs().max() <= 2
    assert (other - same).abs().min() > 20, "the control: it is not the image"

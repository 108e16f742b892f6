"""Exploration: a row differs by the noise of its band alone, by as much as the chain says."""

import math

import pytest
import torch
from exact_models import MEAN, STD, continuous_model, gaussian_model

import nkca
from nkca.denoisers.exact import ImageListDenoiser
from nkca.errors import InputError
from nkca.kernels.continuous import ContinuousKernel
from nkca.models.model import Model
from nkca.noise import sample_noise
from nkca.sampling.exploration import USUAL, RedrawnNoise, explore
from nkca.sampling.tasks import Schedule, from_noise

BANDS = 4


def deviations(model: Model) -> list[float]:
    """The standard deviation, in bytes, that the noise of each band gives to a pixel of the picture.

    The chain of a Gaussian is x_y = g x + N(0, s²) + ...: noise of a step is multiplied by all later g.
    """
    levels = USUAL.levels(model)
    steps = len(levels) - 1

    def gain_of_mean(b: float) -> float:
        a = 1 - b
        return a * STD**2 / (a * a * STD**2 + b)

    variance = [0.0] * BANDS
    carried = gain_of_mean(levels[-1]) ** 2  # the picture is the mean at the end
    for step in reversed(range(steps)):
        b_x, b_y = levels[step], levels[step + 1]
        w = min(0.5, math.sqrt(b_y / b_x))
        scale = (1 - b_y) - (1 - b_x) * w
        of_z = STD**2 * b_x / ((1 - b_x) ** 2 * STD**2 + b_x)
        noise = max(b_y - w * w * b_x, 0) + scale**2 * of_z
        variance[step * BANDS // steps] += noise * carried
        carried *= (w + scale * gain_of_mean(b_x)) ** 2
    variance[0] += carried  # the start is N(0, 1)
    return [127.5 * math.sqrt(v) for v in variance]


def test_each_row_differs_by_the_noise_of_its_band() -> None:
    model = gaussian_model((1, 64, 64))
    found = explore(model, from_noise, 3, (BANDS, 3))
    change = found.pictures[:, 1:].float() - found.pictures[:, :1].float()
    measured = change.square().mean((1, 2, 3, 4)).div(2).sqrt().tolist()
    expected = deviations(model)
    assert measured == pytest.approx(expected, rel=0.06, abs=0.4)
    assert measured != pytest.approx(expected[::-1], rel=0.06, abs=0.4)  # the control
    assert MEAN != 0  # a mean that is not 0 does not matter to differences


def test_the_first_column_is_the_sample_of_that_seed() -> None:
    model = gaussian_model()
    found = explore(model, from_noise, 11, (BANDS, 2))
    own = torch.from_numpy(nkca.sample(model, [11], schedule=USUAL)).movedim(-1, 1)
    assert (found.pictures[:, 0] == own).all()
    assert not (found.pictures[-1, 1] == own).all()
    levels = USUAL.levels(model)
    assert found.bands[0][0] == levels[0]
    assert found.bands[-1][1] == levels[-1]
    assert all(
        low == high for (_, low), (high, _) in zip(found.bands, found.bands[1:], strict=False)
    )


def test_where_there_is_one_image_no_noise_matters() -> None:
    image = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)
    model = continuous_model(ImageListDenoiser(ContinuousKernel(), image), (1, 4, 4))
    pictures = explore(model, from_noise, 0, (3, 3)).pictures
    assert (pictures == pictures[0, 0]).all()


def test_redrawn_noise_goes_on_as_if_nothing_had_been_redrawn() -> None:
    like = torch.empty(2, 5)
    plain = sample_noise([1, 2])
    expected = [plain.normal(like), plain.uniform(like), plain.normal(like)]
    both = RedrawnNoise(sample_noise([1, 2]), sample_noise([8, 9]))
    first = both.normal(like)
    both.redrawn = torch.tensor([False, True])
    second = both.uniform(like)
    both.redrawn = torch.tensor([False, False])
    third = both.normal(like)
    assert torch.equal(first, expected[0])
    assert torch.equal(second[0], expected[1][0])
    assert not torch.equal(second[1], expected[1][1])
    assert torch.equal(third, expected[2])


@pytest.mark.parametrize(
    ("size", "schedule", "says"),
    [
        ((2, 1), Schedule(), "columns must be at least 2"),
        ((61, 2), Schedule(), r"bands must be in 1\.\.60"),
        ((2, 2), Schedule(sampler="ddim"), "ddim draws no noise"),
    ],
)
def test_what_cannot_be_explored_is_refused(
    size: tuple[int, int], schedule: Schedule, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        explore(gaussian_model(), from_noise, 0, size, schedule)

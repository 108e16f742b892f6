"""Interpolation: its ends are the images; between them the way is known where the flow is."""

import math

import pytest
import torch
from exact_models import MEAN, continuous_model, gaussian_model, listed_levels

from nkca.denoisers.exact import ImageListDenoiser
from nkca.errors import InputError
from nkca.kernels.continuous import ContinuousKernel
from nkca.sampling import interpolation
from nkca.sampling.interpolation import great_circle, interpolate


def two_images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(90, 190, (2, 1, 4, 4), generator=generator).to(torch.uint8)


def test_the_ends_are_the_images_and_the_middle_is_on_the_circle() -> None:
    """The flow of a Gaussian is affine: frames are the circle between the images, about the mean."""
    ends = two_images()
    found = interpolate(gaussian_model(), ends, 5)
    assert max(found.end_errors) < 0.5
    assert (found.frames[[0, -1]].float() - ends.float()).abs().max() <= 1
    about_mean = ends / 127.5 - 1 - MEAN
    circle = great_circle(about_mean[0], about_mean[1], torch.linspace(0, 1, 5))
    expected = (circle + MEAN + 1) * 127.5
    assert (found.frames.float() - expected).abs().max() < 3
    line = ends[0] + torch.linspace(0, 1, 5).view(-1, 1, 1, 1) * (ends[1].float() - ends[0])
    assert (line - expected).abs().max() > 6  # the control: a straight line is told apart


def test_what_the_model_cannot_draw_shows_in_the_end_errors() -> None:
    images = (two_images().float() / 127.5 - 1) * 0.5
    model = continuous_model(ImageListDenoiser(ContinuousKernel(), images), (1, 4, 4))
    ends = model.pixels.to_uint8(images)
    assert max(interpolate(model, ends, 3).end_errors) < 0.5
    ends[1] = 255 - ends[1]  # not in the list
    near, far = interpolate(model, ends, 3).end_errors
    nearest = model.pixels.to_uint8(images).float() - ends[1].float()
    distance = nearest.square().flatten(1).mean(1).sqrt().min().item()
    assert near < 0.5
    assert far > distance - 1


def test_a_great_circle_keeps_the_length_that_a_line_loses() -> None:
    start, end = torch.eye(4)[0].view(1, 2, 2), torch.eye(4)[1].view(1, 2, 2)
    points = great_circle(start, end, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(points.flatten(1).norm(dim=1), torch.ones(3))
    assert torch.equal(points[0], start)
    torch.testing.assert_close(points[2], end)
    assert (start + end).norm() / 2 == pytest.approx(math.sqrt(0.5))
    assert torch.equal(great_circle(start, start, torch.tensor([0.3]))[0], start)
    with pytest.raises(InputError, match="opposite"):
        great_circle(start, -start, torch.tensor([0.5]))


def test_categories_go_from_image_to_image_over_images_of_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    levels = torch.tensor([[0, 1, 2, 2], [2, 0, 1, 0]]).view(2, 1, 2, 2)
    model = listed_levels(levels, 3)
    ends = model.pixels.to_uint8(levels)
    found = interpolate(model, ends, 9)
    assert found.end_errors == (0.0, 0.0)
    assert torch.equal(found.frames[[0, -1]], ends)
    # smoothed by the exact chain, each frame is one of the two images, first the one, then the other
    is_first = (found.frames == ends[0]).flatten(1).all(1)
    is_second = (found.frames == ends[1]).flatten(1).all(1)
    assert (is_first | is_second).all()
    # the control: without the walk, frames are mixtures of both
    monkeypatch.setattr(interpolation, "_smoothed", lambda _model, z, _seed: z)
    mixed = interpolate(model, ends, 9).frames
    assert not ((mixed == ends[0]).flatten(1).all(1) | (mixed == ends[1]).flatten(1).all(1)).all()
    from_second = (mixed == ends[1]).flatten(1).sum(1)
    assert from_second.diff().ge(0).all()  # a pixel that has changed stays


def test_one_frame_is_no_path() -> None:
    with pytest.raises(InputError, match="at least 2"):
        interpolate(gaussian_model(), two_images(), 1)

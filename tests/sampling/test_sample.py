"""`nkca.sample`: one image a seed, and one line for each shape or count that does not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from tables import each
from toys import random_pictures, write_checkpoint

import nkca
from nkca.config.sampling import SamplingConfig
from nkca.denoisers.exact import GaussianDenoiser
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.sampling.plan import plan_samples
from nkca.sampling.request import Outputs, SampleRequest
from nkca.sampling.sample_files import make_samples
from nkca.sampling.tasks import Schedule, around, draw_task
from nkca.system.files import fresh_directory

SHORT = Schedule(num_steps=2)
IMAGES = random_pictures(3, seed=1)  # (3, 8, 8, 3)
MASK = np.zeros((8, 8), bool)
MASK[:, 4:] = True


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = write_checkpoint(tmp_path_factory.mktemp("sample") / "model.pth")
    return nkca.load_model(path, device="cpu")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"seeds": []}, "at least one seed"),
    ({"seeds": [0.5]}, "seeds must be integers"),
    ({"seeds": 3}, "seeds must be integers"),
    ({"seeds": [0, -1]}, r"seeds must be in 0\.\.2\^63-1, got -1"),
    ({"seeds": [2**63 - 1, 2**63]}, r"seeds must be in 0\.\.2\^63-1, got 9223372036854775808"),
    ({"seeds": np.array([2**63], np.uint64)}, "seeds must be in"),
    ({"images": IMAGES}, "there are 3 images for 2 seeds"),
    ({"images": IMAGES[:2] / 255}, r"images must be uint8 .* got float64 \(2, 8, 8, 3\)"),
    ({"images": IMAGES[:2, :, :, :1]}, r"must be \(8, 8, 3\) each, .* got \(2, 8, 8, 1\)"),
    ({"images": IMAGES[:2, :7]}, r"must be \(8, 8, 3\) each, .* got \(2, 7, 8, 3\)"),
    ({"images": IMAGES[0, :, :, 0]}, r"images must be uint8 .* got uint8 \(8, 8\)"),
    ({"images": IMAGES[:0]}, r"images must be uint8 .* got uint8 \(0, 8, 8, 3\)"),
    ({"images": [IMAGES[0], IMAGES[1, :7]]}, "images cannot be read as one array"),
    ({"images": torch.zeros(8, 8, 3, requires_grad=True)}, "images cannot be read as one array"),
    ({"images": IMAGES[0], "repaint": MASK[:7]}, r"bool of shape \(8, 8\), got bool \(7, 8\)"),
    ({"images": IMAGES[0], "repaint": MASK[None]}, r"bool of shape .*, got bool \(1, 8, 8\)"),
    ({"images": IMAGES[0], "repaint": MASK.astype(np.uint8)}, r"got uint8 \(8, 8\)"),
    ({"images": IMAGES[0], "repaint": [[True], [True, False]]}, "repaint cannot be read"),
    ({"images": IMAGES[0], "repaint": np.zeros((8, 8), bool)}, "repaint is nowhere True"),
    ({"repaint": MASK}, "there are no images"),
    ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
    ({"batch_size": -1}, "batch_size must be 1 or more, got -1"),
]


def test_what_does_not_fit_is_said_in_one_line(model: Model) -> None:
    for options, words in each(WRONG):
        with pytest.raises(InputError, match=words) as caught:
            nkca.sample(model, **{"seeds": [0, 1], "schedule": SHORT, **options})
        assert "\n" not in str(caught.value)


def test_one_image_serves_all_seeds_and_the_mask_holds_the_rest(model: Model) -> None:
    def inpainted(images: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        return nkca.sample(model, [4, 5], images=images, repaint=MASK, schedule=SHORT)

    once, twice = inpainted(IMAGES[0]), inpainted([IMAGES[0], IMAGES[0]])
    assert once.shape == (2, 8, 8, 3)
    assert once.dtype == np.uint8
    assert np.array_equal(once, twice)
    assert np.array_equal(once[:, :, :4], np.stack([IMAGES[0], IMAGES[0]])[:, :, :4])
    assert not np.array_equal(once[0], once[1])


def test_a_seed_is_its_value_in_any_batch(model: Model) -> None:
    """NumPy's 5 is the same seed as Python's."""
    expected = nkca.sample(model, range(3, 6), schedule=SHORT)
    assert np.array_equal(nkca.sample(model, np.arange(3, 6), schedule=SHORT), expected)
    in_twos = nkca.sample(model, range(3, 6), schedule=SHORT, batch_size=2)
    assert np.abs(in_twos.astype(int) - expected).max() <= 1


@pytest.fixture
def exact(model: Model) -> Model:
    """A model whose pictures depend on where its chains start; it draws with dpm2m."""
    denoiser = GaussianDenoiser(torch.zeros(3, 8, 8), torch.full((3, 8, 8), 0.5))
    sampling = SamplingConfig("dpm2m", "sigma", 6)
    return replace(model, chain=replace(model.chain, denoiser=denoiser), sampling=sampling)


@pytest.mark.parametrize("schedule", [None, SHORT, Schedule(max_noise=0.3, sampler="chain")])
def test_the_same_pictures_as_the_command(
    exact: Model, schedule: Schedule | None, tmp_path: Path
) -> None:
    """Of noise, variants and inpainting, whatever the schedule leaves open."""
    picture, mask = tmp_path / "picture.png", tmp_path / "mask.png"
    nkca.save_png(picture, IMAGES[0])
    nkca.save_png(mask, np.uint8(255) * MASK[:, :, None])
    given = schedule or Schedule()
    ways: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"images": IMAGES[0]}, {"images": (str(picture),)}),
        (
            {"images": IMAGES[0], "repaint": MASK},
            {"images": (str(picture),), "inpainting_mask": str(mask)},
        ),
    ]
    if given.max_noise is None:
        ways.append(({}, {}))
    for options, requested in each(ways):
        request = SampleRequest(
            "model.pth",
            seeds="4-5",
            max_sampling_noise=given.max_noise,
            num_sampling_steps=given.num_steps,
            sampler=given.sampler,
            **requested,
        )
        folder = fresh_directory(tmp_path / "made")
        files = [
            path
            for step in make_samples(plan_samples(exact, request, Outputs()), folder)
            for path in step.files
        ]
        made = nkca.sample(exact, [4, 5], schedule=schedule, **options)
        assert np.array_equal(made, np.stack([np.asarray(Image.open(file)) for file in files]))


def test_variants_start_from_their_images(exact: Model) -> None:
    """At level 1 nothing of an image would be left."""
    images = [np.full((8, 8, 3), value, np.uint8) for value in (0, 255)]
    black, white = (nkca.sample(exact, [7], images=image) for image in images)
    assert white.mean() > black.mean() + 30
    tensors = [torch.from_numpy(image).movedim(-1, 0)[None] for image in images]
    black_task, white_task = (draw_task(exact, around(z, [7]), Schedule()) for z in tensors)
    assert white_task.float().mean() > black_task.float().mean() + 30

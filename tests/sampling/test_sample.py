"""`nkca.sample`: one image a seed, and one line for each shape or count that does not fit."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tables import each
from toys import random_pictures, write_checkpoint

import nkca
from nkca.errors import InputError
from nkca.models.model import Model
from nkca.sampling.tasks import Schedule

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

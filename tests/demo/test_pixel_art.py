"""The set of pixel art in the package, and the model of categories that was trained on it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from make_pixels import area
from PIL import Image

from nkca.cli import sample
from nkca.config.parsing import configure
from nkca.data.dataset import load_dataset
from nkca.data.palettes import distinct_colors
from nkca.demo import DEMO_PIXELS, IMAGES, MODELS, dataset_path, measured_path, model_path
from nkca.errors import InputError
from nkca.models.build import load_model
from nkca.pixels import PalettePixels

MODEL, SPRITES = MODELS[DEMO_PIXELS], IMAGES[DEMO_PIXELS]
COUNT, COLORS, CLEAR = 6000, 32, (0, 0, 0, 0)


def test_they_are_different_pictures_of_32_colours_one_of_them_transparent() -> None:
    config = {"dataset": DEMO_PIXELS, "cache": False, "channels": 4}
    images = load_dataset(configure(config).data).images
    assert images.shape == (COUNT, 16, 16, 4)
    assert len({image.tobytes() for image in images}) == COUNT
    colors = distinct_colors(np.asarray(images))
    assert len(colors) == COLORS
    assert {color[3] for color in colors} == {0, 255}
    assert 0.2 < (images[..., 3] == 0).mean() < 0.5
    assert SPRITES.stat().st_size < 2_500_000
    assert "CC0 1.0" in SPRITES.with_name("LICENSE.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("path", "is_even_odd", "expected"),
    [
        ("M1 1h2v2H1z", False, {(1, 1), (1, 2), (2, 1), (2, 2)}),
        ("M0 0h3v3H0V0Zm1 1v1h1V1H1Z", False, {(1, 1)}),  # a hole, drawn the other way round
        ("M0 0h3v3H0V0Zm1 1h1v1H1V1Z", False, set()),  # drawn the same way: no hole ...
        ("M0 0h3v3H0V0Zm1 1h1v1H1V1Z", True, {(1, 1)}),  # ... unless by parity
    ],
)
def test_paths_of_drawings_become_pixels(
    path: str, is_even_odd: bool, expected: set[tuple[int, int]]
) -> None:
    """Expected are the pixels, or, in the square of 3 x 3, the holes; rows before columns."""
    inside = area(path, is_even_odd)
    if path.startswith("M0"):
        assert not inside[3:].any()
        inside = ~inside[:3, :3]
    assert set(map(tuple, np.argwhere(inside).tolist())) == expected


def test_commands_know_its_name() -> None:
    assert dataset_path(DEMO_PIXELS) == SPRITES
    assert model_path(DEMO_PIXELS) == MODEL
    assert measured_path("demo-pixels:images") == str(SPRITES)
    assert measured_path("demo-pixels:model") == str(MODEL)
    with pytest.raises(InputError, match="demo-pixels:model or demo-pixels:images"):
        measured_path("demo-pixels")


def test_the_model_is_small_has_a_card_and_the_palette_of_the_set() -> None:
    assert MODEL.stat().st_size < 8_000_000
    content = torch.load(MODEL, map_location="cpu", weights_only=True)
    assert content["card"]["name"] == DEMO_PIXELS
    assert "CC0" in content["card"]["licence"]
    model = load_model(DEMO_PIXELS, device="cpu")
    assert isinstance(model.pixels, PalettePixels)
    assert (len(model.pixels.colors), CLEAR in model.pixels.colors) == (COLORS, True)
    assert (model.data_shape, model.state_shape) == ((4, 16, 16), (1, 16, 16))


def test_its_samples_are_indexed_and_have_its_colours(tmp_path: Path) -> None:
    out, pixels = tmp_path / "out", load_model(DEMO_PIXELS, device="cpu").pixels
    assert isinstance(pixels, PalettePixels)
    asked = [DEMO_PIXELS, "--num-samples=2", "--num-sampling-steps=4", f"--save-dir={out}", "-q"]
    assert CliRunner().invoke(sample.main, asked).exit_code == 0
    for number in range(2):
        with Image.open(out / f"seed_{number:06d}.png") as image:
            assert (image.mode, image.size) == ("P", (16, 16))
            found = {color for _, color in image.convert("RGBA").getcolors() or ()}
            assert found <= set(pixels.colors)
            assert {CLEAR} < found
            assert json.loads(image.info["nkca"])["checkpoint"] == DEMO_PIXELS

"""Palettes: counted exactly, chosen for many colours, read from files; states that are exact."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from tables import each

from nkca.config.colors import color_text, parse_colors
from nkca.data.palettes import (
    chosen_colors,
    distinct_colors,
    label_colors,
    read_palette,
)
from nkca.errors import InputError
from nkca.pixels import SCRAMBLED_GREY, PalettePixels

RED, BLUE, CLEAR = (200, 0, 0, 255), (0, 0, 200, 255), (0, 0, 0, 0)


def pictures(colors: Sequence[tuple[int, ...]], times: list[int]) -> npt.NDArray[np.uint8]:
    """One row of pixels in which each colour occurs so often, as an image (1, 1, n, C)."""
    pixels = [color for color, n in zip(colors, times, strict=True) for _ in range(n)]
    return np.array(pixels, np.uint8)[None, None]


def test_the_colours_of_images_come_by_frequency() -> None:
    rgb = [(1, 2, 3), (255, 0, 9), (0, 0, 0)]
    assert distinct_colors(pictures(rgb, [2, 5, 3])) == (rgb[1], rgb[2], rgb[0])
    assert distinct_colors(pictures([(7,), (9,)], [1, 2])) == ((9,), (7,))


def test_transparent_pixels_are_one_colour_whatever_lies_below() -> None:
    seen = distinct_colors(pictures([RED, (5, 6, 7, 0), (90, 0, 0, 0)], [1, 2, 2]))
    assert seen == (CLEAR, RED)


def test_many_colours_are_refused_with_their_number() -> None:
    many = np.arange(300, dtype=np.uint16).view(np.uint8).reshape(1, 10, 30, 2)
    many = np.concatenate([many, many[..., :1]], 3)
    with pytest.raises(InputError, match=r"300 colours, a palette at most 256: .*palette=16"):
        distinct_colors(many)
    with pytest.raises(InputError, match="one colour"):
        distinct_colors(np.zeros((2, 4, 4, 3), np.uint8))


def test_chosen_colours_are_near_all_colours_and_few() -> None:
    random = np.random.default_rng(1)
    centres = np.array([[20, 20, 20], [230, 30, 30], [30, 230, 30], [240, 240, 240]])
    images = centres[random.integers(0, 4, (5, 20, 20))] + random.integers(-6, 7, (5, 20, 20, 3))
    found = np.array(chosen_colors(images.astype(np.uint8), 4))
    distances = np.abs(found[:, None] - centres[None]).max(2)
    assert len(found) == 4
    assert (distances.min(0) < 12).all()
    with_alpha = np.concatenate([images, np.full((5, 20, 20, 1), 255)], 3).astype(np.uint8)
    with_alpha[:, :5, :, 3] = 0
    colors = chosen_colors(with_alpha, 8)
    assert CLEAR in colors
    assert len(colors) <= 8
    for count in each([1, 257]):
        with pytest.raises(InputError, match="2 to 256 colours"):
            chosen_colors(images.astype(np.uint8), count)


FILES = {
    "a.gpl": "GIMP Palette\nName: x\nColumns: 2\n# note\n  0   0   0\tBlack\n255 136 0 Orange\n",
    "a.hex": "000000\nff8800\n",
    "a.pal": "JASC-PAL\n0100\n2\n0 0 0\n255 136 0\n",
}


def test_palette_files_agree(tmp_path: Path) -> None:
    for name, text in each(FILES.items()):
        (tmp_path / name).write_text(text)
        assert read_palette(tmp_path / name) == ((0, 0, 0), (255, 136, 0))
    image = Image.fromarray(np.array([[[0, 0, 0], [0, 0, 0], [255, 136, 0]]], np.uint8))
    image.save(tmp_path / "a.png")
    assert read_palette(tmp_path / "a.png") == ((0, 0, 0), (255, 136, 0))


BAD = {
    "a.gpl": ("GIMP Palette\n0 0 0\n300 0 0\n", "'300 0 0' is not a colour"),
    "b.gpl": ("GIMP Palette\n", "has 0 colours"),
    "a.hex": ("000000\nnothex\n", "'nothex' is not a colour"),
    "a.pal": ("RIFF", "must be JASC-PAL"),
    "a.txt": ("hello", "holds no palette"),
    "b.hex": ("000000\n000000\n", "has 1 colours"),
}


def test_a_file_that_is_no_palette_is_named(tmp_path: Path) -> None:
    for name, (text, expected) in each(BAD.items()):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=expected) as caught:
            read_palette(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_palette(tmp_path / "missing.gpl")


def test_colours_as_text() -> None:
    assert parse_colors(("#000000", "#ff8800")) == ((0, 0, 0), (255, 136, 0))
    assert parse_colors(("#000000", "#ff880000")) == ((0, 0, 0, 255), CLEAR)
    assert [color_text(color) for color in (RED, (255, 136, 0), (7,))] == [
        "#c80000ff",
        "#ff8800",
        "#070707",
    ]
    for texts, expected in each([(("#00000g",), "expected colours"), (("red", "red"), "twice")]):
        with pytest.raises(InputError, match=expected):
            parse_colors(texts)


def test_label_colours_differ() -> None:
    colors = np.array(label_colors(256))
    assert len({tuple(color) for color in colors.tolist()}) == 256
    distance = np.abs(colors[:20, None] - colors[None, :20]).sum(2) + 1000 * np.eye(20, dtype=int)
    assert distance.min() > 40


def test_states_are_exact_for_colours_of_the_palette() -> None:
    for colors in each([(RED, BLUE, CLEAR), ((1, 2, 3), (1, 2, 4)), ((0,), (255,), (7,))]):
        pixels = PalettePixels(colors)
        picture = torch.tensor(colors, dtype=torch.uint8).T.reshape(1, len(colors[0]), 1, -1)
        state = pixels.to_state(picture)
        assert state.tolist() == [[[list(range(len(colors)))]]]
        assert torch.equal(pixels.to_uint8(state), picture)
        assert pixels.num_classes == len(colors)


def test_other_colours_become_the_nearest_and_transparency_hides_colour() -> None:
    pixels = PalettePixels((RED, BLUE, CLEAR))
    other = torch.tensor([(190, 9, 9, 255), (200, 0, 0, 0), (0, 9, 250, 250), (200, 0, 0, 40)])
    state = pixels.to_state(other.to(torch.uint8).T.reshape(1, 4, 1, 4))
    assert state.flatten().tolist() == [0, 2, 1, 2]


def test_scrambled_pixels_are_grey() -> None:
    shown = PalettePixels((RED, BLUE)).to_uint8(torch.tensor([[[[2, 0]]]]))
    assert shown[0, :, 0, 0].tolist() == [SCRAMBLED_GREY] * 3 + [255]
    assert shown[0, :, 0, 1].tolist() == list(RED)

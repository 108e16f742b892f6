"""The user's pictures, masks and seeds, of any kind, fitted to a model."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tables import each

from nkca.errors import InputError
from nkca.sampling.inputs import fit_picture, read_mask
from nkca.sampling.request import parse_seeds

SEEDS: dict[str, list[int]] = {
    "7": [7],
    "0": [0],
    "0-3": [0, 1, 2, 3],
    "5-5": [5],
    "3,7,20-22": [3, 7, 20, 21, 22],
    " 1 - 2 , 9 ": [1, 2, 9],
    "9,1": [9, 1],
    f"{2**63 - 1}": [2**63 - 1],
}


def test_seeds() -> None:
    for text, expected in each(SEEDS.items()):
        assert [seed for run in parse_seeds(text) for seed in run] == expected


def test_many_seeds_take_no_memory() -> None:
    assert sum(map(len, parse_seeds("0-999999999999"))) == 10**12


def test_seeds_that_are_none() -> None:
    none = ("", ",", "1,", "abc", "9-3", "-1", "1--2", "1.5", "1-2-3", f"{2**63}", "0x10", "1;2")
    for text in each(none):
        with pytest.raises(InputError, match="seeds must"):
            parse_seeds(text)


PAINT = np.zeros((6, 8), bool)  # nowhere symmetric
PAINT[0, :5] = PAINT[1:4, 1] = True


def mask_image(mode: str) -> Image.Image:
    """`PAINT` as a picture of some mode."""
    bytes_ = np.where(PAINT, 255, 0).astype(np.uint8)
    grey = Image.fromarray(bytes_)
    if mode == "1":
        return grey.convert("1")
    if mode == "L faint":  # 1 of 255 is not black
        return Image.fromarray(PAINT.astype(np.uint8))
    if mode == "P":  # the palette decides, not the number of the colour
        picture = Image.fromarray(np.where(PAINT, 0, 1).astype(np.uint8), mode=None)
        palette = Image.new("P", picture.size)
        palette.putpalette([255, 255, 255, 0, 0, 0])
        palette.frombytes(picture.tobytes())
        return palette
    if mode == "I;16":
        return Image.fromarray(PAINT.astype(np.uint16))
    if mode == "RGB":
        return Image.merge("RGB", (Image.new("L", grey.size), grey, Image.new("L", grey.size)))
    if mode == "RGBA hidden":  # white all over, but see-through where it is to be held
        white = Image.new("L", grey.size, 255)
        return Image.merge("RGBA", (white, white, white, grey))
    if mode == "RGBA drawn":
        opaque = Image.new("L", grey.size, 255)
        return Image.merge("RGBA", (grey, grey, grey, opaque))
    if mode == "LA":
        return Image.merge("LA", (Image.new("L", grey.size, 255), grey))
    return grey


MASK_MODES = ("1", "L", "L faint", "P", "RGB", "RGBA hidden", "RGBA drawn", "LA", "I;16")


def test_masks_of_all_modes_mean_the_same(tmp_path: Path) -> None:
    """White repaints, black and transparency hold; inverted, the other way round."""
    path = tmp_path / "mask.png"
    for mode in each(MASK_MODES):
        mask_image(mode).save(path)
        assert np.array_equal(read_mask(path, 6, 8).numpy(), PAINT)
        assert np.array_equal(read_mask(path, 6, 8, invert=True).numpy(), ~PAINT)


def test_a_mask_as_jpeg_repaints_at_least_what_is_white(tmp_path: Path) -> None:
    path = tmp_path / "mask.jpg"
    grey = np.zeros((16, 16), np.uint8)
    grey[:, 12:] = 255
    Image.fromarray(grey).save(path, quality=95)
    repaint = read_mask(path, 16, 16).numpy()
    assert repaint[:, 12:].all()
    assert not repaint[:, :4].any()


def test_enlarged_masks_are_fitted_back(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    for factor in each([2, 3, 7, 50]):
        large = PAINT.repeat(factor, 0).repeat(factor, 1)
        Image.fromarray(np.where(large, 255, 0).astype(np.uint8)).save(path)
        assert np.array_equal(read_mask(path, 6, 8).numpy(), PAINT)


def test_one_white_pixel_of_a_large_mask_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    large = np.zeros((400, 400), np.uint8)
    large[130, 370] = 255
    Image.fromarray(large).save(path)
    repaint = read_mask(path, 8, 8).numpy()
    assert np.argwhere(repaint).tolist() == [[130 // 50, 370 // 50]]


def test_a_small_mask_is_enlarged(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 255], [0, 0]], np.uint8)).save(path)
    expected = np.zeros((8, 8), bool)
    expected[:4, 4:] = True
    assert np.array_equal(read_mask(path, 8, 8).numpy(), expected)


def test_a_mask_of_another_shape_is_cropped_as_its_image_is(tmp_path: Path) -> None:
    """A wide image and its mask lose the same margins."""
    wide = np.zeros((8, 16), np.uint8)
    wide[:, 10:12] = 255
    mask, photo = tmp_path / "mask.png", tmp_path / "photo.png"
    Image.fromarray(wide).save(mask)
    Image.fromarray(wide).save(photo)
    picture, done = fit_picture(photo, (1, 8, 8))
    assert "8x16 (height x width) fitted to 8x8" in done
    assert np.array_equal(read_mask(mask, 8, 8).numpy(), picture[0].numpy() > 0)
    assert picture[0, 0].tolist() == [0] * 6 + [255] * 2


def test_masks_that_repaint_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    for value, invert, paint in each(
        [(0, False, "white"), (255, True, "black"), (7, True, "black")]
    ):
        Image.new("L", (8, 8), value).save(path)
        with pytest.raises(InputError, match=f"mask .*mask.png repaints nothing: paint {paint}"):
            read_mask(path, 8, 8, invert)


def save(path: Path, pixels: npt.NDArray[Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_a_picture_that_fits_is_untouched(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture, done = fit_picture(save(tmp_path / "a.png", pixels), (3, 6, 8))
    assert done == ""
    assert np.array_equal(picture.movedim(0, -1).numpy(), pixels)


MODES: dict[str, tuple[Any, int]] = {
    "1": (1, 255),
    "L": (200, 200),
    "P": (3, 3),
    "RGB": ((200, 200, 200), 200),
    "RGBA": ((200, 200, 200, 255), 200),
    "LA": ((200, 255), 200),
    "I;16": (200 * 257, 200),
}


def test_pictures_of_any_mode_and_size_are_fitted_and_it_is_said(tmp_path: Path) -> None:
    path, sizes, all_channels = tmp_path / "picture.png", [(8, 8), (20, 12), (3, 5)], [1, 3, 4]
    for mode, size, channels in each(itertools.product(MODES, sizes, all_channels)):
        color, value = MODES[mode]
        image = Image.new(mode, size, color)
        if mode == "P":
            image.putpalette([level for index in range(256) for level in (index,) * 3])
        image.save(path)
        picture, done = fit_picture(path, (channels, 8, 8))
        assert picture.shape == (channels, 8, 8)
        assert picture.is_contiguous()
        assert np.unique(picture[: min(channels, 3)].numpy()).tolist() == [value]
        if channels == 4:
            assert np.unique(picture[3].numpy()).tolist() == [255]
        if size == (8, 8):
            assert done == ""
        else:
            assert done.startswith(f"{path}: {size[1]}x{size[0]} (height x width) fitted to")


def test_the_first_axis_is_the_height(tmp_path: Path) -> None:
    pixels = np.arange(6 * 10, dtype=np.uint8).reshape(6, 10)
    picture, _ = fit_picture(save(tmp_path / "a.png", pixels), (1, 6, 10))
    assert np.array_equal(picture[0].numpy(), pixels)


@pytest.mark.parametrize("what", ["image", "mask"])
def test_files_that_are_none(what: str, tmp_path: Path) -> None:
    def read(path: Path) -> object:
        return fit_picture(path, (3, 8, 8)) if what == "image" else read_mask(path, 8, 8)

    (tmp_path / "words.png").write_text("words")
    for name, message in (
        ("none.png", f"no such {what}: .*none.png"),
        ("words.png", f"cannot read {what} .*words.png: not an image"),
        ("", "is not a file"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)

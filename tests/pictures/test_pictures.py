"""Grids by hand, PNGs that carry settings, animations."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tables import each
from torchvision.utils import make_grid  # type: ignore[import-untyped]

from nkca.errors import InputError
from nkca.pictures.animation import FRAME_PIXELS, animation_frame, check_animation, save_animation
from nkca.pictures.captions import HEIGHT as CAPTION_HEIGHT
from nkca.pictures.captions import captioned_sheet
from nkca.pictures.grid import (
    VISIBLE_SIZE,
    Pictures,
    contact_sheet,
    first_in_sheet,
    grid,
    to_pillow,
)
from nkca.pictures.png import read_settings, save_png


def flat(*values: int, height: int = 1, width: int = 2, channels: int = 1) -> Pictures:
    """Images of one value each."""
    pixels = np.empty((len(values), height, width, channels), np.uint8)
    pixels[:] = np.array(values)[:, None, None, None]
    return pixels


def test_grid_by_hand() -> None:
    """Three images 1x2 in two columns, with a gap of one: row by row, white around."""
    w = 255
    expected = [
        [w, w, w, w, w, w, w],
        [w, 1, 1, w, 2, 2, w],
        [w, w, w, w, w, w, w],
        [w, 3, 3, w, w, w, w],
        [w, w, w, w, w, w, w],
    ]
    assert grid(flat(1, 2, 3), columns=2, gap=1)[:, :, 0].tolist() == expected
    assert np.array_equal(grid(flat(1, 2, 3), gap=1), grid(flat(1, 2, 3), columns=2, gap=1))


def test_grid_without_gap_keeps_the_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 3), dtype=np.uint8)
    sheet = grid(pixels, columns=3, gap=0)
    assert sheet.shape == (6, 12, 3)
    for index in range(6):
        top, left = index // 3 * 3, index % 3 * 4
        assert np.array_equal(sheet[top : top + 3, left : left + 4], pixels[index])


def test_grid_is_about_square() -> None:
    for count, columns, shape in each(
        [
            (1, None, (1, 1)),
            (2, None, (1, 2)),
            (5, None, (2, 3)),
            (16, None, (4, 4)),
            (3, 8, (1, 3)),
        ]
    ):
        sheet = grid(flat(*range(count), height=5, width=7, channels=3), columns)
        assert sheet.shape == (shape[0] * 7 + 2, shape[1] * 9 + 2, 3)


def test_grids_are_those_of_torchvision() -> None:
    """In colour, of several images; of one it leaves out the border, and grey becomes RGB."""
    for count, channels, columns in each([(5, 3, 2), (9, 4, 3), (7, 3, 8)]):
        images = np.random.default_rng(0).integers(0, 256, (count, 5, 7, channels), np.uint8)
        tensor = torch.from_numpy(images).movedim(-1, 1)
        theirs = make_grid(tensor, nrow=columns, padding=2, pad_value=255)
        assert np.array_equal(grid(images, columns), theirs.movedim(0, -1).numpy())


def test_zoom_makes_squares_of_pixels() -> None:
    image = np.array([[[[1], [2]]]], np.uint8)
    assert grid(image, gap=0, zoom=2)[:, :, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_contact_sheets_enlarge_small_images_only() -> None:
    for size in each([1, 8, 32, 48, 49, 96, 97, 256]):
        zoom = (contact_sheet(flat(1, height=size, width=size)).shape[0] - 4) // size
        assert zoom == max(1, VISIBLE_SIZE // size)


def test_frames_of_animations_are_bounded_as_they_are_shown() -> None:
    for size in each([4, 28, 200, 2000]):
        few = flat(1, 2, height=size, width=size)
        frame = animation_frame(np.repeat(few, 150 if size < 2000 else 1, axis=0))
        assert frame.size <= 1.3 * max(FRAME_PIXELS, size * size), "with the gaps"
        assert size == 2000 or np.array_equal(animation_frame(few), contact_sheet(few))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_png_and_settings_come_back(channels: int, mode: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    settings = {"seeds": "0-9", "lag": None, "images": ["/tmp/grün.png"], "noise": 0.1}
    path = tmp_path / "image.png"
    save_png(str(path), pixels, settings)
    with Image.open(path) as image:
        assert image.mode == mode
        back = np.asarray(image).reshape(5, 7, channels)
    assert np.array_equal(back, pixels)
    assert read_settings(path) == settings
    assert list(tmp_path.iterdir()) == [path]


def test_pngs_without_settings(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    save_png(path, flat(1)[0])
    with pytest.raises(InputError, match=r"image\.png carries no settings"):
        read_settings(path)
    (tmp_path / "words.png").write_text("words")
    for name in ("words.png", "none.png"):
        with pytest.raises(InputError, match=f"cannot read the settings in .*{name}"):
            read_settings(tmp_path / name)


@pytest.mark.parametrize("kind", ["gif", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_animations(kind: str, channels: int, tmp_path: Path) -> None:
    frames = list(flat(0, 80, 160, 240, height=8, width=8, channels=channels))
    path = tmp_path / f"animation.{kind}"
    save_animation(path, frames)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 4
        assert image.size == (8, 8)
        for number, value in enumerate((0, 80, 160, 240)):
            image.seek(number)
            shown = np.asarray(image.convert("L")).astype(int)
            assert np.abs(shown - value).max() <= 1
            image.load()
            assert image.info["duration"] == (1500 if number == 3 else 80)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_an_animation_of_one_frame(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"animation.{kind}"
    save_animation(path, list(flat(9, height=8, width=8)))
    with Image.open(path) as image:
        assert image.size == (8, 8)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg here")
def test_mp4(tmp_path: Path) -> None:
    path = tmp_path / "animation.mp4"
    save_animation(path, list(flat(0, 128, 255, height=15, width=17, channels=3)))
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    frames = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(frames) % (16 * 18) == 0
    assert len(frames) >= 3 * 16 * 18
    assert [p.name for p in tmp_path.iterdir()] == ["animation.mp4"]


def test_mp4_without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="ffmpeg on the PATH; use gif or webp"):
        check_animation("mp4")
    with pytest.raises(InputError, match="ffmpeg on the PATH; use gif or webp"):
        save_animation(tmp_path / "a.mp4", list(flat(1, 2)))
    check_animation("gif")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_ffmpeg_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, out = tmp_path / "tools", tmp_path / "out"
    tools.mkdir()
    out.mkdir()
    (tools / "ffmpeg").write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    (tools / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    with pytest.raises(InputError, match=r"ffmpeg could not write .*a\.mp4: no such codec"):
        save_animation(out / "a.mp4", list(flat(1, 2)))
    assert list(out.iterdir()) == []


def test_one_channel_becomes_grey() -> None:
    assert to_pillow(flat(5)[0]).mode == "L"
    assert to_pillow(flat(5, channels=3)[0]).mode == "RGB"


IMAGES = flat(1, 2, 3, height=4, width=5, channels=3)
NO_IMAGES: list[tuple[Any, str]] = [
    (IMAGES / 255, r"images must be uint8 .* got float64 \(3, 4, 5, 3\)"),
    (IMAGES[..., :2], r"1, 3 or 4 channels, got uint8 \(3, 4, 5, 2\)"),
    (IMAGES[0, :, :, 0], r"got uint8 \(4, 5\)"),
    (IMAGES[:0], r"got uint8 \(0, 4, 5, 3\)"),
    ([IMAGES[0], IMAGES[1, :3]], "images cannot be read as one array"),
]


def test_grids_of_what_is_no_images() -> None:
    for images, words in each(NO_IMAGES):
        for make in (grid, contact_sheet):
            with pytest.raises(InputError, match=words):
                make(images)


def test_grids_take_what_numpy_reads() -> None:
    assert np.array_equal(grid(list(IMAGES)), grid(IMAGES))
    assert np.array_equal(contact_sheet(IMAGES[0]), contact_sheet(IMAGES[:1]))


def test_grids_of_impossible_numbers() -> None:
    for name, value in each([("columns", -1), ("columns", 0), ("gap", -1), ("zoom", 0)]):
        with pytest.raises(InputError, match=f"{name} must be . or more, got {value}"):
            grid(IMAGES, **{name: value})


NO_IMAGE: list[tuple[Any, str]] = [
    (IMAGES, r"uint8 \(3, 4, 5, 3\)"),
    (IMAGES[0] / 255, r"float64 \(4, 5, 3\)"),
    (IMAGES[0, :, :, 0], r"uint8 \(4, 5\)"),
    (IMAGES[0, :, :, :2], r"uint8 \(4, 5, 2\)"),
    (IMAGES[0, :0], r"uint8 \(0, 5, 3\)"),
]


def test_pngs_of_what_is_no_image_leave_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_text("before")
    for image, found in each(NO_IMAGE):
        message = rf"the image must be uint8 .* \(H, W, C\) .* got {found}"
        with pytest.raises(InputError, match=message):
            save_png(path, image)
        assert path.read_text() == "before"
        assert list(tmp_path.iterdir()) == [path]


def test_captions_stand_below_their_images() -> None:
    images = np.full((3, 8, 8, 1), 90, np.uint8)
    sheet = captioned_sheet(images, 3, ["", "level 0.3", ""])
    plain = contact_sheet(images, 3)
    assert sheet.shape == (plain.shape[0] + CAPTION_HEIGHT, *plain.shape[1:])
    assert np.array_equal(sheet[: plain.shape[0] - 2], plain[:-2])
    strip = sheet[plain.shape[0] - 2 :]
    tile = (strip.shape[1] - 2) // 3
    has_ink = [bool((strip[:, k * tile : (k + 1) * tile] < 128).any()) for k in range(3)]
    assert has_ink == [False, True, False]
    with pytest.raises(InputError, match="2 captions for 3 images"):
        captioned_sheet(images, 3, ["a", "b"])


@pytest.mark.parametrize(("count", "side"), [(16, (8, 8)), (5, (30, 20)), (1, (100, 40))])
def test_the_first_image_of_a_contact_sheet(count: int, side: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *side, 3), dtype=np.uint8)
    found = first_in_sheet(contact_sheet(images), *side)
    assert found is not None and np.array_equal(found, images[0])
    assert first_in_sheet(contact_sheet(images)[:-1], *side) is None
    assert first_in_sheet(images[0][:1, :1], *side) is None

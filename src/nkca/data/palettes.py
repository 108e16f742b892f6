"""Palettes: the distinct colours of images, few colours that stand for many, files of colours.

A colour is three numbers in 0..255, or four with alpha. Pixels that are fully transparent have one colour,
(0, 0, 0, 0).
"""

import colorsys
import re
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from nkca.config.colors import MOST_COLORS, Color
from nkca.data.decode import read_image
from nkca.data.listing import UnreadableImageError
from nkca.errors import InputError

PixelArray: TypeAlias = npt.NDArray[np.uint8]

SAMPLE = 1 << 20  # pixels that colours are chosen from
_CHUNK = 1 << 24  # pixels counted at once


def distinct_colors(images: PixelArray) -> tuple[Color, ...]:
    """The colours that occur in images (N, H, W, C), the most frequent first; C = 1, 3 or 4.

    Raises:
        InputError: if there are more than `MOST_COLORS`, or only one.
    """
    packed, counts = _count(images)
    if len(packed) > MOST_COLORS:
        raise InputError(
            f"the images have {len(packed):,} colours, a palette at most {MOST_COLORS}: choose some of "
            "them with palette=16, or as many as you like"
        )
    if len(packed) < 2:
        raise InputError("the images have one colour: there is nothing to learn")
    order = np.argsort(-counts, kind="stable")
    return _unpacked(packed[order], images.shape[3])


def chosen_colors(images: PixelArray, count: int, seed: int = 0) -> tuple[Color, ...]:
    """``count`` colours, or fewer, that stand for those of images (N, H, W, C), C = 3 or 4.

    They are chosen by Pillow from `SAMPLE` pixels of all images: by median cut and k-means, and for
    colours with alpha by an octree.

    Raises:
        InputError: unless 2 <= count <= `MOST_COLORS`.
    """
    if not 2 <= count <= MOST_COLORS:
        raise InputError(f"a palette has 2 to {MOST_COLORS} colours, got {count}")
    channels = images.shape[3]
    flat = images.reshape(-1, channels)
    rows = np.random.default_rng(seed).integers(0, len(flat), min(SAMPLE, len(flat)))
    sample = _without_hidden(flat[np.sort(rows)])
    side = int(len(sample) ** 0.5)
    picture = Image.fromarray(sample[: side * side].reshape(side, side, channels))
    if channels == 4:
        quantised = picture.quantize(count, Image.Quantize.FASTOCTREE)
    else:
        quantised = picture.quantize(count, Image.Quantize.MEDIANCUT, kmeans=count)
    palette = quantised.getpalette("RGBA" if channels == 4 else "RGB")
    assert palette is not None
    colors = np.array(palette, np.uint8).reshape(-1, channels)[: len(quantised.getcolors() or ())]
    packed, first = np.unique(_packed(_without_hidden(colors)), return_index=True)
    if len(packed) < 2:
        raise InputError("the images have one colour: there is nothing to learn")
    return _unpacked(packed[np.argsort(first)], channels)


def read_palette(path: Path) -> tuple[Color, ...]:
    """The colours of a palette file: GIMP's .gpl, .hex (one rrggbb a line), JASC's .pal, or an image.

    Raises:
        InputError: if the file cannot be read, holds no palette, fewer than 2 or too many colours.
    """
    try:
        if path.suffix.lower() in (".gpl", ".hex", ".pal"):
            colors = tuple(_colors_of_text(path))
        else:
            picture = np.asarray(read_image(path, 4))
            opaque = bool((picture[..., 3] == 255).all())
            colors = distinct_colors(picture[None, ..., : 3 if opaque else 4])
    except UnreadableImageError as error:
        raise InputError(
            f"{path} holds no palette: expected .gpl, .hex, .pal or an image ({error})"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    found = tuple(dict.fromkeys(colors))
    if not 2 <= len(found) <= MOST_COLORS:
        raise InputError(f"{path} has {len(found)} colours, expected 2 to {MOST_COLORS}")
    return found


def label_colors(count: int) -> tuple[Color, ...]:
    """``count`` colours that are easy to tell apart: black, then hues a golden angle from each other."""
    hues = [
        colorsys.hsv_to_rgb(
            0.618034 * n % 1, 0.85 - 0.3 * (n // 8 % 2), 1 - 0.35 * (n // 16 % 2) - n / 4096
        )
        for n in range(count - 1)
    ]
    return ((0, 0, 0), *(tuple(round(255 * level) for level in hue) for hue in hues))


def _colors_of_text(path: Path) -> list[Color]:
    """The colours of a text file, by its suffix; raises `InputError` for a line that is none."""
    lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    kind = path.suffix.lower()
    if kind == ".gpl":
        header = re.compile(r"GIMP Palette|(Name|Columns|Channels):.*|#.*")
        lines = [line for line in lines if not header.fullmatch(line)]
    elif kind == ".pal":
        if lines[:1] != ["JASC-PAL"]:
            raise InputError("not a palette of JASC: the first line must be JASC-PAL")
        lines = lines[3:]
    else:
        lines = [line for line in lines if not line.startswith(";")]
    return [_color_of_line(line, kind) for line in lines if line]


def _color_of_line(line: str, kind: str) -> Color:
    if kind == ".hex":
        if re.fullmatch(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{8})", line):
            return tuple(bytes.fromhex(line.removeprefix("#")))
        raise InputError(f"'{line[:40]}' is not a colour such as ff8800")
    numbers = re.match(r"(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})(?!\S)", line)
    if numbers is None or max(map(int, numbers.groups())) > 255:
        raise InputError(f"'{line[:40]}' is not a colour such as 255 136 0")
    return tuple(map(int, numbers.groups()))


def _without_hidden(pixels: PixelArray) -> PixelArray:
    """Pixels (..., C); the colour of fully transparent ones is black."""
    if pixels.shape[-1] < 4:
        return pixels
    return np.where(pixels[..., 3:] == 0, np.uint8(0), pixels)


def _packed(pixels: PixelArray) -> npt.NDArray[np.uint32]:
    """Pixels (n, C) as one number each, (n,)."""
    packed = np.zeros(len(pixels), np.uint32)
    for channel in range(pixels.shape[1]):
        packed = (packed << np.uint32(8)) | pixels[:, channel]
    return packed


def _unpacked(packed: npt.NDArray[np.uint32], channels: int) -> tuple[Color, ...]:
    shifts = [8 * (channels - 1 - channel) for channel in range(channels)]
    return tuple(tuple(int(number) >> shift & 255 for shift in shifts) for number in packed)


def _count(images: PixelArray) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The distinct pixels of images (N, H, W, C), packed, and how often each occurs."""
    counts: dict[int, int] = {}
    step = max(1, _CHUNK // max(1, images[0].size))
    for first in range(0, len(images), step):
        part = images[first : first + step]
        found, times = np.unique(
            _packed(_without_hidden(part.reshape(-1, part.shape[3]))), return_counts=True
        )
        for number, time in zip(found.tolist(), times.tolist(), strict=True):
            counts[number] = counts.get(number, 0) + time
    packed = np.array(sorted(counts), np.uint32)
    return packed, np.array([counts[number] for number in packed.tolist()], np.int64)

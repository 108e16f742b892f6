"""Pictures of categories: colours that must not be mixed, label maps whose grey or index is an id."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from nkca.config.colors import MOST_COLORS, Color
from nkca.data.decode import AS_PICTURES, Reader, read_image
from nkca.data.fitting import Color as Rgb
from nkca.data.listing import ImageSource, UnreadableImageError
from nkca.data.pillow import open_image
from nkca.errors import InputError
from nkca.pixels import PalettePixels, Pixels

Ids: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Categories(Reader):
    """How a file of categories is read.

    Args:
        labels: None: as colours; empty: as ids, in one channel; else the (id, colour) of each label: ids
            are read, and shown as these colours.
    """

    labels: tuple[tuple[int, Color], ...] | None = None

    def read(
        self,
        file: ImageSource,
        channels: Literal[1, 3, 4],
        background: Rgb,
        least: tuple[int, int] | None = None,
    ) -> Image.Image:
        """The picture at its own size, in mode L, RGB or RGBA for 1, 3 or 4 channels.

        Raises:
            UnreadableImageError: if it is not a picture, or, of labels, not grey or indexed.
            InputError: if it has other labels.
        """
        if self.labels is None:
            return super().read(file, channels, background, least)
        ids = read_ids(file)
        if ids is None and self.labels:
            return self._with_label_colors(file)
        if ids is None:
            raise UnreadableImageError("no label map: expected grey or indexed pixels, got colours")
        if not self.labels:
            return Image.fromarray(ids)
        table = np.zeros((256, 3), np.uint8)
        known = np.array([number for number, _ in self.labels])
        table[known] = [color for _, color in self.labels]
        others = np.setdiff1d(ids, known)
        if len(others):
            raise InputError(
                f"{_name(file)} has the label {_listed(others)}, the labels are {_listed(known)}"
            )
        return Image.fromarray(table[ids])

    def _with_label_colors(self, file: ImageSource) -> Image.Image:
        """A picture in the labels' colours, as sheets and the live page have."""
        assert self.labels is not None
        image = read_image(file, 3)
        known = {color for _, color in self.labels}
        found = image.getcolors(MOST_COLORS)
        if found is None or not {color for _, color in found} <= known:
            raise UnreadableImageError("no label map: it has colours that are no label's")
        return image

    def resampling(self, image: Image.Image) -> Image.Resampling:
        """How it is resized: with few colours without mixing them, else antialiased."""
        is_drawn = image.getcolors(MOST_COLORS) is not None
        return Image.Resampling.NEAREST if is_drawn else Image.Resampling.BILINEAR


def reader_for(pixels: Pixels) -> Reader:
    """How pictures for a model with these pixels are read."""
    if not isinstance(pixels, PalettePixels):
        return AS_PICTURES
    if pixels.ids is None:
        return Categories()
    return Categories(tuple(zip(pixels.ids, pixels.colors, strict=True)))


def read_ids(file: ImageSource) -> Ids | None:
    """The grey or palette index of each pixel, (H, W); None for a picture in colour.

    Raises:
        UnreadableImageError: if it is no picture, or an id is above 255.
    """
    with open_image(file) as image:
        if image.mode not in ("L", "P", "1", "I", "I;16", "I;16B", "I;16L"):
            return None
        ids = np.asarray(image).astype(np.int64)
    if ids.min() < 0 or ids.max() > 255:
        raise UnreadableImageError(f"label {ids.max()}: expected ids of 0 to 255")
    return ids.astype(np.uint8)


def palette_of_file(file: ImageSource) -> dict[int, Color]:
    """The colours that an indexed file gives its ids; empty for one that is not indexed."""
    with open_image(file) as image:
        if image.mode != "P" or image.palette is None:
            return {}
        flat = image.getpalette("RGB") or []
    return {number: tuple(flat[3 * number : 3 * number + 3]) for number in range(len(flat) // 3)}


def _name(file: ImageSource) -> str:
    return str(file) if isinstance(file, Path) else "an image"


def _listed(ids: npt.NDArray[np.integer]) -> str:
    shown = ", ".join(map(str, ids[:12].tolist()))
    return shown + (" ..." if len(ids) > 12 else "")

"""Sheets with a caption below each image: a level, a seed, a number to pick it by."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from nkca.errors import InputError
from nkca.pictures.grid import Pictures, grid, zoom_in_sheet
from nkca.pixels import check_images

HEIGHT = 13  # pixels of the strip that holds a caption
FONT_SIZE = 10


def captioned_sheet(images: npt.ArrayLike, columns: int, captions: Sequence[str]) -> Pictures:
    """A contact sheet of (N, H, W, C) with a caption below each image, black on white.

    Args:
        images: uint8, C = 1, 3 or 4, or anything that NumPy reads so.
        captions: one for each image; what is wider than its image is cut off.

    Raises:
        InputError: if the images are anything else, or there are other than N captions.
    """
    images = check_images(images, "images")
    if len(captions) != len(images):
        raise InputError(f"there are {len(captions)} captions for {len(images)} images")
    zoom = zoom_in_sheet(*images.shape[1:3])
    tiles = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    font = ImageFont.load_default(FONT_SIZE)
    strips = np.stack([_strip(caption, tiles.shape[2], font) for caption in captions])
    strips = np.broadcast_to(strips[..., None], (*strips.shape, tiles.shape[3]))
    return grid(np.concatenate([tiles, strips], 1), columns)


def _strip(
    caption: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> npt.NDArray[np.uint8]:
    """The caption, uint8 (HEIGHT, width)."""
    strip = Image.new("L", (width, HEIGHT), 255)
    ImageDraw.Draw(strip).text((1, 0), caption, fill=0, font=font)
    return np.asarray(strip)

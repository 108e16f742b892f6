"""uint8 arrays -> grids of images."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from nkca.errors import InputError
from nkca.pixels import check_images

Pictures = npt.NDArray[np.uint8]
VISIBLE_SIZE = 96  # pixels that a small image is enlarged to in a sheet, at most


def grid(
    images: npt.ArrayLike, columns: int | None = None, gap: int = 2, zoom: int = 1
) -> Pictures:
    """Lay out (N, H, W, C) as one (H', W', C), row by row on white; by default about square.

    Args:
        images: uint8, C = 1, 3 or 4, or anything that NumPy reads so.
        gap: white pixels between images and around them.
        zoom: each pixel becomes a square of ``zoom`` x ``zoom``.

    Raises:
        InputError: if the images are anything else, or a number is too small.
    """
    for name, value, least in (("columns", columns, 1), ("gap", gap, 0), ("zoom", zoom, 1)):
        if value is not None and value < least:
            raise InputError(f"{name} must be {least} or more, got {value}")
    images = check_images(images, "images")
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    count, height, width, channels = images.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, channels)
    sheet = np.full(shape, 255, np.uint8)
    for index, image in enumerate(images):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def contact_sheet(images: npt.ArrayLike, columns: int | None = None) -> Pictures:
    """A grid for people: small images (N, H, W, C) are enlarged by whole pixels.

    Args:
        images: uint8, C = 1, 3 or 4, or anything that NumPy reads so.

    Raises:
        InputError: as `grid` does.
    """
    images = check_images(images, "images")
    return grid(images, columns, zoom=zoom_in_sheet(*images.shape[1:3]))


def zoom_in_sheet(height: int, width: int) -> int:
    """By how much a contact sheet enlarges images of this size."""
    return max(1, VISIBLE_SIZE // max(height, width))


def first_in_sheet(sheet: Pictures, height: int, width: int, gap: int = 2) -> Pictures | None:
    """The first image of a contact sheet (H', W', C) of images of this size; None if it is none."""
    zoom = zoom_in_sheet(height, width)
    sides = (height * zoom, width * zoom)
    for have, side in zip(sheet.shape, sides, strict=False):
        if have <= gap or (have - gap) % (side + gap):
            return None
    return sheet[gap : gap + sides[0] : zoom, gap : gap + sides[1] : zoom]


def to_pillow(image: Pictures) -> Image.Image:
    """Convert (H, W, C), C = 1, 3 or 4, to a Pillow image."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)

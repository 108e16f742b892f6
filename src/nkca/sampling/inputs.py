"""The user's own pictures and masks, fitted to the image size of a model."""

from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from nkca.config.image_size import describe
from nkca.data.decode import AS_PICTURES, WHITE, Reader, fit, read_image
from nkca.data.listing import ImageSource
from nkca.data.pillow import open_image
from nkca.errors import InputError


def fit_picture(
    path: Path, data_shape: tuple[int, int, int], reader: Reader = AS_PICTURES
) -> tuple[Tensor, str]:
    """Read a picture of any mode and size as uint8 (C, H, W): centre-cropped, resized, antialiased.

    Args:
        reader: how its pixels are understood, see `nkca.data.categories.reader_for`.

    Returns:
        The picture, and a sentence on how it was fitted ("" if it already had the size).

    Raises:
        InputError: if the file cannot be read as an image.
    """
    _check_file(path, "image")
    try:
        picture, done = fit_content(path, data_shape, reader)
    except InputError as error:
        raise InputError(f"cannot read image {path}: {error}") from None
    return picture, done and f"{path}: {done}"


def fit_content(
    file: ImageSource,
    data_shape: tuple[int, int, int],
    reader: Reader = AS_PICTURES,
    reduced: bool = False,
) -> tuple[Tensor, str]:
    """As `fit_picture`, for a path or the bytes of a file; the sentence does not name the file.

    Args:
        reduced: decode a large JPEG at a half to an eighth of its size, in less time and memory.

    Raises:
        UnreadableImageError: if it cannot be read as an image.
    """
    channels, height, width = data_shape
    least = (2 * width, 2 * height) if reduced else None
    image = reader.read(file, cast("Literal[1, 3, 4]", channels), WHITE, least)
    done = ""
    if image.size != (width, height):
        before, after = describe(image.height, image.width), describe(height, width)
        done = f"{before} fitted to {after}, by centre crop and resize"
        image = fit(image, (height, width), reader.resampling(image))
    pixels = np.array(image).reshape(height, width, channels)
    return torch.from_numpy(pixels).movedim(-1, 0).contiguous(), done


def read_picture(path: Path, channels: int) -> Tensor:
    """Read a picture of any mode at its own size as uint8 (C, H, W), C = 1, 3 or 4 ``channels``.

    Raises:
        InputError: if the file cannot be read as an image.
    """
    _check_file(path, "image")
    try:
        image = read_image(path, cast("Literal[1, 3, 4]", channels), WHITE)
    except InputError as error:
        raise InputError(f"cannot read image {path}: {error}") from None
    pixels = np.array(image).reshape(image.height, image.width, channels)
    return torch.from_numpy(pixels).movedim(-1, 0).contiguous()


def read_mask(path: Path, height: int, width: int, invert: bool = False) -> Tensor:
    """Read a mask of any mode and size: bool (H, W), True where the image is to be repainted.

    Non-zero pixels are repainted, transparent ones held; ``invert`` swaps the two. When a mask is shrunk,
    every pixel that it touches is repainted.

    Raises:
        InputError: if the file cannot be read as an image, or nothing would be repainted.
    """
    _check_file(path, "mask")
    try:
        painted = _non_zero(path)
    except InputError as error:
        raise InputError(f"cannot read mask {path}: {error}") from None
    binary = Image.fromarray((painted != invert).astype(np.float32))  # bytes would round to 0
    if binary.size != (width, height):
        binary = fit(binary, (height, width), Image.Resampling.BOX)
    repaint = torch.from_numpy(np.array(binary) > 0)
    if not repaint.any():
        colour = "black" if invert else "white"
        raise InputError(f"mask {path} repaints nothing: paint {colour} what is to change")
    return repaint


def _check_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise InputError(f"{path} is not a file" if path.exists() else f"no such {what}: {path}")


def _non_zero(path: Path) -> npt.NDArray[np.bool_]:
    with open_image(path) as image:
        if image.mode.startswith(("I", "F")):  # label masks: 1 of 65,535 counts
            return np.asarray(np.asarray(image) > 0)
    return np.asarray(read_image(path, 1, (0, 0, 0))) > 0

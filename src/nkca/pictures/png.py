"""PNG files that remember how they were made."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
from PIL import Image, PngImagePlugin

from nkca.errors import InputError
from nkca.pictures import METADATA_KEY
from nkca.pictures.grid import Pictures, to_pillow
from nkca.pixels import check_image
from nkca.system.files import atomic_write


def save_png(
    path: str | Path, image: npt.ArrayLike, settings: Mapping[str, Any] | None = None
) -> None:
    """Write (H, W, C) as PNG, atomically, with ``settings`` as JSON in a text chunk.

    Args:
        image: uint8, C = 1, 3 or 4, or anything that NumPy reads so.

    Raises:
        InputError: if the image is anything else; no file is touched.
    """
    image = check_image(image, "the image")
    with atomic_write(Path(path)) as file:
        file.write(png_bytes(image, settings))


def png_bytes(
    image: Pictures, settings: Mapping[str, Any] | None = None, compress_level: int = 6
) -> bytes:
    """The PNG of (H, W, C), with ``settings`` as JSON in a text chunk."""
    text = PngImagePlugin.PngInfo()
    if settings is not None:
        text.add_itxt(METADATA_KEY, json.dumps(settings))
    file = io.BytesIO()
    to_pillow(image).save(file, format="PNG", pnginfo=text, compress_level=compress_level)
    return file.getvalue()


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings that `save_png` put into the file.

    Raises:
        InputError: if the file is not an image, or carries none.
    """
    try:
        with Image.open(path) as image:
            text = image.info.get(METADATA_KEY)
        settings = json.loads(text) if isinstance(text, str) else None
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot read the settings in {path}: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path} carries no settings of nkca-sample (its PNGs do)")
    return settings

"""PNG files that remember how they were made."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, PngImagePlugin

from nkca.errors import InputError
from nkca.pictures import METADATA_KEY
from nkca.pictures.grid import Pictures, to_pillow
from nkca.pixels import PalettePixels, Pixels, as_tensor, check_image
from nkca.system.files import atomic_write


def save_png(
    path: str | Path,
    image: npt.ArrayLike,
    settings: Mapping[str, Any] | None = None,
    pixels: Pixels | None = None,
) -> None:
    """Write (H, W, C) as PNG, atomically, with ``settings`` as JSON in a text chunk.

    Args:
        image: uint8, C = 1, 3 or 4, or anything that NumPy reads so.
        pixels: of the model that made it; a picture in the colours of a palette, or of labels, becomes an
            indexed file with these colours, or ids.

    Raises:
        InputError: if the image is anything else; no file is touched.
    """
    image = check_image(image, "the image")
    with atomic_write(Path(path)) as file:
        file.write(png_bytes(image, settings, pixels=pixels))


def png_bytes(
    image: Pictures,
    settings: Mapping[str, Any] | None = None,
    compress_level: int = 6,
    pixels: Pixels | None = None,
) -> bytes:
    """The PNG of (H, W, C), with ``settings`` as JSON in a text chunk; ``pixels`` see `save_png`."""
    text = PngImagePlugin.PngInfo()
    if settings is not None:
        text.add_itxt(METADATA_KEY, json.dumps(settings))
    file = io.BytesIO()
    picture = _indexed(image, pixels) if isinstance(pixels, PalettePixels) else to_pillow(image)
    picture.save(file, format="PNG", pnginfo=text, compress_level=compress_level)
    return file.getvalue()


def _indexed(image: Pictures, pixels: PalettePixels) -> Image.Image:
    """In mode P, or as it is where it has other colours, as scrambled pixels have."""
    bytes_of_image = as_tensor(image[None].copy())
    state = pixels.to_state(bytes_of_image)
    if not torch.equal(pixels.to_uint8(state), bytes_of_image):
        return to_pillow(image)
    ids = np.array(pixels.ids or range(pixels.num_classes), np.uint8)
    picture = Image.fromarray(ids[state[0, 0].numpy()])
    table = np.zeros((int(ids.max()) + 1, 4), np.uint8)
    table[ids] = [(*(c * 3 if len(c) == 1 else c), 255)[:4] for c in pixels.colors]
    picture.putpalette(table[:, :3].tobytes(), "RGB")
    if (table[ids, 3] < 255).any():
        picture.info["transparency"] = table[:, 3].tobytes()
    return picture


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

"""One image file to uint8 pixels: orientation, palettes, transparency, 16 bits, size.

All files are opened by `nkca.data.pillow.open_image`, which turns every error of Pillow about bad content
into `UnreadableImageError`.
"""

import contextlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

from nkca.config.image_size import MAX_SIDE, ImageSize, as_option, is_possible, sides
from nkca.data.fitting import Color, cropped, padded
from nkca.data.listing import ImageSource, UnreadableImageError
from nkca.data.pillow import open_image
from nkca.errors import InputError
from nkca.pictures import METADATA_KEY

PixelArray: TypeAlias = npt.NDArray[np.uint8]
WHITE: Color = (255, 255, 255)
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Reader:
    """How the pixels of a file are understood: as photographs, drawings ..., resized antialiased.

    Others override that; equal readers read alike, and say so by their ``repr``.
    """

    def read(
        self,
        file: ImageSource,
        channels: Literal[1, 3, 4],
        background: Color,
        least: tuple[int, int] | None = None,
    ) -> Image.Image:
        """The picture at its own size, in mode L, RGB or RGBA; see `read_image`."""
        return read_image(file, channels, background, least)

    def resampling(self, image: Image.Image) -> Image.Resampling:
        """How that picture is resized."""
        del image
        return Image.Resampling.BILINEAR


AS_PICTURES = Reader()


@dataclass(frozen=True)
class DecodeOptions:
    """How a file becomes pixels.

    `resize`: N for N x N, or (height, width), antialiased; None for the file's own size;
    `pad`: with borders where the shape differs, and never enlarged; False: the centre is cut out;
    `channels`: 1 (luma), 3 (RGB) or 4 (RGBA, straight alpha);
    `background`: the colour behind transparent pixels if `channels` is not 4, RGB in 0..255;
    `reader`: how its pixels are understood.
    """

    resize: ImageSize | None = None
    channels: Literal[1, 3, 4] = 3
    background: Color = WHITE
    pad: bool = False
    reader: Reader = AS_PICTURES

    def __post_init__(self) -> None:
        if self.resize is not None and not is_possible(self.resize):
            raise InputError(f"{as_option(*sides(self.resize))}: expected 1 to {MAX_SIDE} pixels")
        if self.channels not in (1, 3, 4):
            raise InputError(f"channels={self.channels}: expected 1, 3 or 4")
        if len(self.background) != 3 or not all(0 <= level <= 255 for level in self.background):
            raise InputError(f"background={self.background}: expected three numbers in 0..255")


@dataclass(frozen=True)
class Probe:
    """The header of an image: its size after EXIF orientation, and 1 (grey) or 3 (colour) channels.

    `made_here`: it is a PNG that carries nkca's settings.
    """

    width: int
    height: int
    channels: Literal[1, 3]
    made_here: bool = False


def probe(file: ImageSource) -> Probe:
    """Read the header of an image, given as a path or as bytes, without decoding its pixels.

    Transparency does not count as a channel. Raises UnreadableImageError.
    """
    with open_image(file) as image:
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        return Probe(width, height, 1 if _is_grey(image) else 3, METADATA_KEY in image.info)


def decode(file: ImageSource, options: DecodeOptions) -> PixelArray:
    """Decode an image, given as a path or as bytes, to (H, W, C) uint8.

    Of an animation the first frame is decoded. Raises UnreadableImageError.
    """
    image = options.reader.read(file, options.channels, options.background)
    if options.resize is not None:
        image = _fitted(image, options, sides(options.resize))
    return np.asarray(image).reshape(image.height, image.width, options.channels)


def read_image(
    file: ImageSource,
    channels: Literal[1, 3, 4] = 3,
    background: Color = WHITE,
    least: tuple[int, int] | None = None,
) -> Image.Image:
    """Decode an image at its own size to mode L, RGB or RGBA for 1, 3 or 4 channels.

    With ``least``, (width, height), a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that is no smaller.

    EXIF orientation is applied. Grey of 16 bits is scaled by 1/257 and rounded; Pillow itself
    keeps only the high byte of 16-bit colour, which may be one level off. A 32-bit or
    floating-point image of unknown range is refused. Raises UnreadableImageError.
    """
    with open_image(file) as image:
        orientation = _orientation(image)
        if least is not None and image.format == "JPEG":
            image.draft(None, least if orientation < 5 else least[::-1])
        transposition = _TRANSPOSITIONS.get(orientation)
        plain = _to_plain_mode(image)
        if transposition is not None:
            plain = plain.transpose(transposition)
        return _with_channels(plain, channels, background)


def fit(
    image: Image.Image,
    size: tuple[int, int],
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    """Crop the centre of `image` to the shape of `size`, (height, width), then resize it, antialiased.

    Measured on the original's tensor resize (parity file: 15 cases, 20,160 values, rounded to uint8):
    equal at 83 % of the values, one grey level off at the rest. RGBA is resized premultiplied.
    Modes 1 and P cannot be antialiased: `resample` must then be NEAREST.
    """
    assert resample is Image.Resampling.NEAREST or image.mode not in ("1", "P", "PA")
    return cropped((image.height, image.width), size).apply(image, resample)


def _fitted(image: Image.Image, options: DecodeOptions, size: tuple[int, int]) -> Image.Image:
    """Cut, or shrunk and padded: with the background, transparent if there are 4 channels."""
    resample = options.reader.resampling(image)
    if not options.pad:
        return fit(image, size, resample)
    clear = Image.new("RGBA", size[::-1], (*options.background, 0))
    border = _with_channels(clear, options.channels, options.background)
    return padded((image.height, image.width), size).apply(image, resample, border)


def _orientation(image: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation, 1..8, that must still be applied; 1 if EXIF is damaged or absent.

    Only EXIF that precedes the pixels is read, so that `probe` and `decode` agree: the getexif of the
    base class is called because that of PngImageFile decodes the pixels to read what follows them.
    """
    if image.format == "TIFF":  # Pillow's TIFF reader applies the orientation itself
        return 1
    # Damaged EXIF raises as many kinds of error as damaged pixels, but the image is intact.
    with contextlib.suppress(Exception):
        orientation = Image.Image.getexif(image).get(0x0112, 1)
        if orientation in range(1, 9):
            return int(orientation)
    return 1


def _is_grey(image: ImageFile.ImageFile) -> bool:
    if image.mode in ("P", "PA") and image.palette is not None:
        entries = np.frombuffer(bytes(image.palette.palette), np.uint8)
        if image.palette.rawmode == "RGB;L":  # TIFF: all reds, all greens, all blues
            entries = entries[: entries.size // 3 * 3].reshape(3, -1).T
        else:
            size = len(image.palette.rawmode or image.palette.mode)
            entries = entries[: entries.size // size * size].reshape(-1, size)[:, :3]
        return bool((entries == entries[:, :1]).all())
    return image.mode in _GREY_MODES or _raw_mode(image) == "LA;16B"


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how a PNG stores its pixels ("L;2", "RGB;16B"), known only before it is decoded."""
    return str(image.tile[0].args) if image.format == "PNG" and image.tile else ""


def _to_plain_mode(image: ImageFile.ImageFile) -> Image.Image:
    """Decode to mode L, LA, RGB or RGBA (straight alpha), in the size and orientation of the file."""
    raw_mode = _raw_mode(image)
    image.load()
    if image.mode == "F":
        raise UnreadableImageError("floating-point image: the range of its values is unknown")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("LA", "RGBA"):
        return image.copy()
    if image.mode in ("La", "RGBa"):
        return image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode.startswith("I"):
        plain, values = _from_16_bits(image)
    else:
        plain = image.convert("L" if image.mode in _GREY_MODES else "RGB")
        values = np.asarray(plain)
    key = image.info.get("transparency")
    if key is not None:
        plain.putalpha(Image.fromarray(_alpha_of_colour(values, key, raw_mode)))
    return plain


def _from_16_bits(image: Image.Image) -> tuple[Image.Image, npt.NDArray[Any]]:
    """Return the image in mode L, and the values in the file, (H, W) int64."""
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise UnreadableImageError(f"values {low}..{high}: the range is unknown, not 16 bits")
    white = 65535
    lightness = values
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow does not apply these two tags
        white = 4095 if image.tag_v2.get(258) == (12,) else white
        lightness = white - values if image.tag_v2.get(262) == 0 else values
    return Image.fromarray(((lightness * 510 + white) // (2 * white)).astype(np.uint8)), values


def _alpha_of_colour(values: npt.NDArray[Any], key: object, raw_mode: str) -> PixelArray:
    """Return (H, W) alpha: 0 where the pixel has the transparent colour of the file, else 255.

    A PNG gives the colour at the depth of the file; `values` are 8 bits wide for 1, 2 and 4 bits
    of grey (Pillow scales them up) and for 16-bit colour (Pillow keeps the high byte).
    """
    color = np.array(key, dtype=np.int64)
    if raw_mode == "RGB;16B":
        color = color >> 8
    color = color * {"L;2": 85, "L;4": 17}.get(raw_mode, 1)
    same = values == color
    if values.ndim == 3:
        same = same.all(axis=-1)
    return np.where(same, 0, 255).astype(np.uint8)


def _with_channels(
    image: Image.Image, channels: Literal[1, 3, 4], background: Color
) -> Image.Image:
    if channels == 4:
        return image.convert("RGBA")
    if image.mode in ("LA", "RGBA"):
        overlay = image.convert("RGBA")
        image = Image.new("RGB", image.size, background)
        image.paste(overlay, mask=overlay.getchannel("A"))
    return image.convert("L" if channels == 1 else "RGB")

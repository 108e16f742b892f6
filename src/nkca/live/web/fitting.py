"""A picture of a visitor, fitted to the model's size."""

from starlette.exceptions import HTTPException

from nkca.config.image_size import MAX_SIDE
from nkca.data.decode import AS_PICTURES, Reader, probe
from nkca.data.pillow import TooManyPixelsError
from nkca.errors import out_of_memory_advice
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures
from nkca.sampling.inputs import fit_content

MAX_PIXELS = 64_000_000  # of a picture to resize
TOO_MANY = f"the image has more than {MAX_PIXELS // 1_000_000} million pixels"


def fitted_png(
    content: bytes, data_shape: tuple[int, int, int], reader: Reader = AS_PICTURES
) -> bytes:
    """Resize an image file to the model's size (C, H, W); returns a PNG.

    Raises:
        HTTPException: if it has too many pixels (413).
        InputError: if it is not an image file.
    """
    try:
        found = probe(content)
    except TooManyPixelsError:
        raise HTTPException(413, TOO_MANY) from None
    if max(found.width, found.height) > MAX_SIDE:
        raise HTTPException(413, f"the image has a side of more than {MAX_SIDE} pixels")
    if found.width * found.height > MAX_PIXELS:
        raise HTTPException(413, TOO_MANY)
    with out_of_memory_advice("(the picture is too large)"):
        picture, _ = fit_content(content, data_shape, reader, reduced=True)
    return png_bytes(as_pictures(picture.unsqueeze(0))[0])

"""A picture of a visitor, fitted to the model's size."""

from starlette.exceptions import HTTPException

from nkca.config.image_size import MAX_SIDE, describe
from nkca.data.decode import AS_PICTURES, Reader, probe
from nkca.errors import out_of_memory_advice
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures
from nkca.sampling.inputs import fit_content

MAX_PIXELS = 64_000_000  # of a picture to resize


def fitted_png(
    content: bytes, data_shape: tuple[int, int, int], reader: Reader = AS_PICTURES
) -> bytes:
    """Resize an image file to the model's size (C, H, W); returns a PNG.

    Raises:
        HTTPException: if it has too many pixels (413).
        InputError: if it is not an image file.
    """
    found = probe(content)
    if max(found.width, found.height) > MAX_SIDE or found.width * found.height > MAX_PIXELS:
        raise HTTPException(
            413, f"{describe(found.height, found.width)} is more than 64 million pixels"
        )
    with out_of_memory_advice("(the picture is too large)"):
        picture, _ = fit_content(content, data_shape, reader, reduced=True)
    return png_bytes(as_pictures(picture.unsqueeze(0))[0])

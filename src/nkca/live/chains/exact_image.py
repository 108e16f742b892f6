"""Pictures as text: base64 image files of the model's size."""

from torch import Tensor

from nkca.config.image_size import describe
from nkca.data.decode import AS_PICTURES, Reader, probe
from nkca.errors import InputError
from nkca.live.chains.masks import from_base64
from nkca.sampling.inputs import fit_content


def read_exact_image(
    text: object, data_shape: tuple[int, int, int], reader: Reader = AS_PICTURES
) -> Tensor:
    """Decode a base64 image file of the model's size to uint8 (1, C, H, W).

    Raises:
        InputError: if it is not such a file.
    """
    _, height, width = data_shape
    try:
        content = from_base64(text, "image")
        found = probe(content)
        if (found.width, found.height) != (width, height):
            raise InputError(
                f"expected {describe(height, width)}, got {describe(found.height, found.width)}"
            )
        picture, _ = fit_content(content, data_shape, reader)
    except InputError as error:
        raise InputError(f"cannot use the image: {error}") from None
    return picture.unsqueeze(0)

"""What spawned processes of the tests run: they find this module by its name.

Not in the tests themselves: another package on the path may be called `tests`, torch-fidelity's is.
"""

from pathlib import Path

from nkca.data.cache import DecodedImages, load_images
from nkca.data.listing import Listing, list_images, open_source
from nkca.data.reading import LoadOptions


def load(folder: Path, cache_dir: Path) -> DecodedImages:
    """The images of a folder by way of a cache."""
    return load_images(list_images(folder), LoadOptions(), cache_dir, workers=2)


def fourth(loaded: DecodedImages) -> tuple[int, bool]:
    """The first byte of the fifth image, and whether it can be changed."""
    return int(loaded.images[4, 0, 0, 0]), bool(loaded.images.flags.writeable)


def first_byte(listing: Listing) -> bytes:
    """What the first file of a listing holds."""
    with open_source(listing) as read:
        content = read(0)
    return content if isinstance(content, bytes) else content.read_bytes()

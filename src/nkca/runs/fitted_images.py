"""What was done to image files so that all have one size: how often, how it looks; and warnings."""

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps

from nkca.config.data import DataConfig
from nkca.config.image_size import as_option, describe
from nkca.data.cache import DecodedImages
from nkca.data.dataset import describe_left_out, parse_color
from nkca.data.decode import read_image
from nkca.data.fitting import Fitting, cropped, padded
from nkca.data.headers import SizeCount
from nkca.data.listing import UnreadableImageError, list_images, open_source
from nkca.demo import dataset_path
from nkca.pictures.grid import Pictures, to_pillow

LOST = (255, 0, 0)  # laid over what is cut or left out


def fittings(images: DecodedImages, config: DataConfig) -> list[tuple[SizeCount, Fitting]]:
    """How the files of each size were fitted, the commonest size first."""
    return _fittings(images, config, images.images.shape[1:3])


def _fittings(
    images: DecodedImages, config: DataConfig, result: tuple[int, int]
) -> list[tuple[SizeCount, Fitting]]:
    how = padded if config.fit == "pad" else cropped
    return [(size, how((size.height, size.width), result)) for size in images.sizes]


def _share_used(images: DecodedImages, config: DataConfig, result: tuple[int, int]) -> float:
    """How much of files and result is neither cut nor border, summed over the images."""
    return sum(
        size.images
        * math.prod(f.kept)
        / math.prod(f.size)
        * math.prod(f.scaled)
        / math.prod(result)
        for size, f in _fittings(images, config, result)
    )


def describe_fitting(images: DecodedImages, config: DataConfig) -> list[tuple[str, str]]:
    """(what happened, to how many images), for what did happen."""
    done = fittings(images, config)
    said = [("left out", text) for text in describe_left_out(images)]
    lost = [1 - math.prod(f.kept) / math.prod(f.size) for _, f in done]
    for label, count, note in (
        ("cut", _count(done, "is_cut"), f"up to {max(lost, default=0):.0%} of an image"),
        ("padded", _count(done, "is_padded"), "borders in the background's colour"),
        ("enlarged", _count(done, "is_enlarged"), f"from {_smallest(done)}"),
    ):
        if count:
            said.append((label, f"{count:,} of {len(images):,}, {note}"))
    return said


def warnings(images: DecodedImages, config: DataConfig, batch_size: int) -> Iterator[str]:
    """What in these images makes a poor model, one sentence each."""
    height, width = images.images.shape[1:3]
    if len(images) == 1:
        yield "there is one image, which is all that a model can learn from it"
    elif batch_size > len(images):
        yield f"a batch of {batch_size} has each of the {len(images)} images more than once"
    if height == width == 1:
        yield "images of one pixel have no neighbouring pixels, from which a model learns"
    as_asked = _share_used(images, config, (height, width))
    if _share_used(images, config, (width, height)) > 1.05 * as_asked:
        yield (
            f"{as_option(height, width)} is {height} high and {width} wide, and most images have the other "
            f"shape: {as_option(width, height)} uses more of them"
        )
    done = fittings(images, config)
    if count := _count(done, "is_enlarged"):
        yield (
            f"{count:,} of {len(images):,} images are enlarged, some from {_smallest(done)} to "
            f"{describe(height, width)}: samples will be blurred like them; a smaller resize is sharper"
        )


def _count(done: Sequence[tuple[SizeCount, Fitting]], what: str) -> int:
    return sum(size.images for size, fitting in done if getattr(fitting, what))


def _smallest(done: Sequence[tuple[SizeCount, Fitting]]) -> str:
    return describe(*min((f.size for _, f in done), key=math.prod))


def show_fitting(
    images: DecodedImages, config: DataConfig, columns: int, tile: tuple[int, int]
) -> Pictures:
    """Two rows of examples, (2 * columns, H, W, 3): files, what is lost in red; below, how they are used.

    Args:
        tile: (H, W) of each picture.

    Returns:
        No pictures if the files were only made smaller.
    """
    changed = [
        (size.example, fitting.box)
        for size, fitting in fittings(images, config)
        if fitting.is_cut or fitting.is_padded or fitting.is_enlarged
    ]
    left_out = [(name, (0, 0, 0, 0)) for name, _ in images.left_out[: columns // 2]]
    chosen = [*changed[: columns - len(left_out)], *left_out]
    listing = list_images(dataset_path(config.dataset))
    rows: Pictures = np.full((2, columns if chosen else 0, *tile, 3), 255, np.uint8)
    with open_source(listing) as read:
        for column, (name, kept) in enumerate(chosen):
            with contextlib.suppress(UnreadableImageError, ValueError):  # the files have changed
                content = read(listing.names.index(name))
                file = read_image(content, 3, parse_color(config.background))
                rows[0, column] = _on_tile(_with_loss_marked(file, kept), tile)
                used = to_pillow(images.images[images.names.index(name)])
                rows[1, column] = _on_tile(used.convert("RGB"), tile)
    return rows.reshape(-1, *tile, 3)


def _with_loss_marked(file: Image.Image, kept: tuple[int, int, int, int]) -> Image.Image:
    marked = Image.blend(file, Image.new("RGB", file.size, LOST), 0.6)
    marked.paste(file.crop(kept), kept)
    return marked


def _on_tile(image: Image.Image, tile: tuple[int, int]) -> Pictures:
    """The whole image in a tile, small ones in large pixels."""
    is_small = image.width <= tile[1] and image.height <= tile[0]
    resample = Image.Resampling.NEAREST if is_small else Image.Resampling.BILINEAR
    return np.asarray(ImageOps.pad(image, tile[::-1], resample, "white"))

"""Sets of pictures of categories, for `categories.py`: each with images to train on and 1,000 others.

fashion8   Fashion-MNIST of 8 levels of grey, 28 x 28
pixels     the 6,000 portraits of demo-pixels, 32 colours of which one is transparent, 16 x 16; the last
           1,000 are held out
labels     label maps of 32 x 32: four clothes of Fashion-MNIST, every second pixel of each, one a quarter;
           the id of a pixel that is not dark is 1 + the kind of clothes, of the ground it is 0
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from judges import KINDS
from make_fashion_mnist import SOURCE, png_files, read_split, write_zip
from PIL import Image

from nkca.config.colors import color_text, label_text
from nkca.data.palettes import distinct_colors, label_colors
from nkca.demo import DEMO_PIXELS, IMAGES
from nkca.pixels import CategoricalPixels, PalettePixels, as_pictures, as_tensor

Images = npt.NDArray[np.uint8]
LEVELS, HELD_OUT, MAPS, DARK = 8, 1000, 10_000, 64


@dataclass(frozen=True)
class CategorySet:
    """Pictures of categories.

    Args:
        data: the file to train on.
        train: its images, uint8 (N, H, W, C).
        test: others, as a model shows them, (1000, H, W, C).
    """

    pixels: CategoricalPixels | PalettePixels
    data: Path
    train: Images
    test: Images

    @property
    def options(self) -> dict[str, Any]:
        """Of a run."""
        if isinstance(self.pixels, CategoricalPixels):
            return {"discrete": True, "num_classes": self.pixels.num_classes}
        options = {"discrete": True, "palette": [color_text(c) for c in self.pixels.colors]}
        names = ("ground", *KINDS)
        labels = [label_text(number, names[number]) for number in self.pixels.ids or ()]
        return {**options, **({"labels": labels} if labels else {})}

    def shown(self, images: Images) -> Images:
        """The images (N, H, W, C), rounded to these categories."""
        return as_pictures(self.pixels.to_uint8(self.pixels.to_state(as_tensor(images.copy()))))


def fashion8(folder: Path) -> CategorySet:
    """Levels of grey."""
    (images, labels), (test, _) = (read_split(SOURCE, split) for split in ("train", "test"))
    data = folder / "fashion-mnist.zip"
    if not data.exists():
        write_zip(data, png_files(images, labels, range(len(images))))
    whole = CategorySet(CategoricalPixels(LEVELS), data, images[..., None], images[:0, ..., None])
    held_out = whole.shown(test[:HELD_OUT, :, :, None])
    return CategorySet(whole.pixels, data, whole.train, held_out)


def pixels(folder: Path) -> CategorySet:
    """Palette pictures."""
    with zipfile.ZipFile(IMAGES[DEMO_PIXELS]) as archive:
        files = {name: archive.read(name) for name in sorted(archive.namelist())}
    images = np.stack(
        [np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")) for png in files.values()]
    )
    data = folder / "pixels.zip"
    if not data.exists():
        write_zip(data, iter(list(files.items())[:-HELD_OUT]))
    colors = PalettePixels(distinct_colors(images))
    return CategorySet(colors, data, images[:-HELD_OUT], images[-HELD_OUT:])


def labels(folder: Path) -> CategorySet:
    """Label maps."""
    maps = {
        split: np.stack(list(_maps(split, n))) for split, n in (("train", MAPS), ("test", HELD_OUT))
    }
    data = folder / "maps.zip"
    if not data.exists():
        write_zip(data, ((f"{n:05d}.png", _png(ids)) for n, ids in enumerate(maps["train"])))
    colors = PalettePixels(label_colors(1 + len(KINDS)), tuple(range(1 + len(KINDS))))
    shown = [
        as_pictures(colors.to_uint8(torch.from_numpy(ids).long()[:, None])) for ids in maps.values()
    ]
    return CategorySet(colors, data, *shown)


SETS: Mapping[str, Callable[[Path], CategorySet]] = {
    "fashion8": fashion8,
    "pixels": pixels,
    "labels": labels,
}


def _maps(split: str, count: int) -> Iterator[Images]:
    """Ids, (32, 32)."""
    images, kinds = read_split(SOURCE, split)
    random = np.random.default_rng(0)
    for rows in random.integers(0, len(images), (count, 4)):
        quarters = []
        for row in rows:
            small = images[row].reshape(14, 2, 14, 2).max((1, 3))
            ids = np.where(small >= DARK, 1 + kinds[row], 0).astype(np.uint8)
            quarters.append(np.pad(ids, 1))
        yield np.block([quarters[:2], quarters[2:]])


def _png(ids: Images) -> bytes:
    file = io.BytesIO()
    Image.fromarray(ids).save(file, "PNG")
    return file.getvalue()

"""Decoded images -> training batches, in an order that depends only on (seed, epoch)."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import ImageColor
from torch import Tensor

from nkca.config.data import DataConfig
from nkca.config.image_size import ANY_SIZE, Accepted
from nkca.data.cache import DecodedImages, load_images
from nkca.data.decode import AS_PICTURES, Reader
from nkca.data.listing import list_images
from nkca.data.reading import LoadOptions, OnDecode
from nkca.demo import dataset_path
from nkca.errors import InputError
from nkca.noise import Noise, derive_seed
from nkca.pixels import as_tensor
from nkca.system.cache_dir import usable_cache_dir


def parse_color(text: str) -> tuple[int, int, int]:
    """RGB of a colour name, ``#rrggbb`` or ``rgb(1, 2, 3)``.

    Raises:
        InputError: if it is not a colour.
    """
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError:
        raise InputError(f"'{text}' is not a colour; examples: white, black, #ff8800") from None


def configured_cache_dir(config: DataConfig) -> Path | None:
    """The folder of the cache for decoded images and what is computed from them; None: no cache.

    That is so where none is wanted, and where the user's own cannot be written to, which is warned of.
    """
    if not config.cache:
        return None
    return Path(config.cache_dir).expanduser() if config.cache_dir else usable_cache_dir()


def load_dataset(
    config: DataConfig,
    on_decode: OnDecode | None = None,
    accepted: Accepted = ANY_SIZE,
    reader: Reader = AS_PICTURES,
) -> DecodedImages:
    """Decode the images that ``config`` names, or open them in the cache.

    Args:
        on_decode: called with (done, total) while images are decoded.
        accepted: which sizes the caller can use, for messages that propose one.
        reader: how the pixels of a file are understood.

    Raises:
        InputError: if there are none, or their sizes differ; see `load_images`.
    """
    if not config.dataset:
        raise InputError("no dataset given: name a folder or archive of images, or 'demo'")
    options = LoadOptions(
        resize=config.resize,
        channels=cast("Literal[1, 3, 4] | None", config.channels),
        background=parse_color(config.background),
        strict=config.strict,
        fit=config.fit,
        accepted=accepted,
        reader=reader,
    )
    return load_images(
        list_images(dataset_path(config.dataset)),
        options,
        configured_cache_dir(config),
        config.data_workers or os.cpu_count() or 1,
        on_decode,
    )


def describe_left_out(images: DecodedImages) -> list[str]:
    """For each reason how many images are left out, and the first of them."""
    first: dict[str, str] = {}
    for name, reason in images.left_out:
        first.setdefault(reason, name)
    counts = Counter(reason for _, reason in images.left_out)
    return [f"{n:,} image{'s' * (n > 1)}: {why} ({first[why]})" for why, n in counts.items()]


def epoch_order(seed: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
    """The order of images in an epoch: a permutation of 0..size-1, int64 (size,)."""
    return np.random.default_rng(derive_seed("order", seed, epoch)).permutation(size)


def batches(
    images: npt.NDArray[np.uint8],
    batch_size: int,
    seed: int,
    first: int = 0,
    share: slice = slice(None),
) -> Iterator[Tensor]:
    """Yield uint8 batches (batch_size, C, H, W) without end, from image number ``first`` on.

    Each epoch has every image once. A batch may span two epochs, so every batch is full.

    Args:
        images: uint8 (N, H, W, C), possibly a memory map.
        first: counts images from the start of training.
        share: the rows of each batch that are read and yielded.
    """
    size = len(images)
    epoch, order = -1, np.empty(0, np.int64)
    while True:
        rows = []
        for number in range(first, first + batch_size):
            if number // size != epoch:
                epoch = number // size
                order = epoch_order(seed, epoch, size)
            rows.append(order[number % size])
        first += batch_size
        yield as_tensor(images[rows[share]])


def augment(images: Tensor, names: tuple[str, ...], noise: Noise) -> Tensor:
    """Flip each image (B, C, H, W) with probability 1/2 along each axis in ``names``: fliph, flipv."""
    for name in names:
        flipped = images.flip(-1 if name == "fliph" else -2)
        chosen = noise.uniform(torch.empty(len(images), device=images.device)) < 0.5
        images = torch.where(chosen[:, None, None, None], flipped, images)
    return images

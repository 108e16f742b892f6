"""Image sets + extractor -> features, in one pass; known features are read from a cache."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from nkca.distributed.ranks import ALONE, Ranks
from nkca.errors import InputError, out_of_memory_advice
from nkca.metrics.extractors.contract import Extractor, Features
from nkca.metrics.image_sets import ImageSet
from nkca.metrics.statistics import Statistics
from nkca.metrics.store import open_store
from nkca.pixels import to_rgb
from nkca.system.device import send

FORMAT = 1  # version of the cached features
OnProgress = Callable[[float, int], None]
Subject = ImageSet | Statistics  # can be measured
T = TypeVar("T")


@dataclass(frozen=True)
class CollectOptions:
    """How features are collected.

    Args:
        device: where the extractor computes.
        cache_dir: where features are cached; None: nowhere.
        batch_size: images extracted together; does not change the features, up to float rounding.
    """

    device: torch.device
    cache_dir: Path | None
    batch_size: int = 64


def collect(
    images: ImageSet,
    extractor: Extractor,
    options: CollectOptions,
    progress: OnProgress = lambda _done, _total: None,
) -> Statistics:
    """The features of all images; cached ones are not computed again.

    After an interruption the finished ones are kept. Memory does not grow with the number of images.

    Args:
        progress: called with (images done, total); not for cached features.

    Raises:
        InputError: if there is no image, memory runs out or the cache cannot be written.
    """
    if not len(images):
        raise InputError("there are no images to measure")
    with (
        _store_directory(images, extractor, options) as directory,
        open_store(directory, wait=True) as store,
    ):
        total = len(images)
        for batch in extract_features(images, extractor, options, progress, first=store.rows):
            store.append(batch)
        features, logits = store.read(total)
        if options.cache_dir is None:  # the files are about to be deleted
            features = np.array(features)
            logits = None if logits is None else np.array(logits)
    return Statistics(features, logits, None, extractor.description, images.about)


def fill_cache(
    images: ImageSet,
    extractor: Extractor,
    options: CollectOptions,
    ranks: Ranks,
    progress: OnProgress = lambda _done, _total: None,
) -> None:
    """Compute the features that the cache lacks, shared among ranks; the first rank writes them.

    `collect` on the first rank then reads them. ``options`` must name a cache there.

    Raises:
        InputError: as `collect` does.
    """
    if not ranks.is_first:
        ranks.barrier()
        rows = int(ranks.max(0))
        for _ in extract_features(images, extractor, options, progress, rows, ranks):
            pass
        return
    with (
        _store_directory(images, extractor, options) as directory,
        open_store(directory, wait=True) as store,
    ):
        ranks.barrier()  # another run may have held the store
        ranks.max(store.rows)
        for batch in extract_features(images, extractor, options, progress, store.rows, ranks):
            store.append(batch)


def extract_features(
    images: ImageSet,
    extractor: Extractor,
    options: CollectOptions,
    progress: OnProgress = lambda _done, _total: None,
    first: int = 0,
    ranks: Ranks = ALONE,
) -> Iterator[Features]:
    """Yield the features of the images from number ``first`` on, batch by batch; nothing is cached.

    With several ranks a batch is as many times larger: each rank computes its share and receives all.

    Args:
        progress: called with (images done, total), also while the images of a batch are made.
    """
    total, size = len(images), options.batch_size
    for start in range(first, total, size * ranks.count):
        rows = range(start, min(start + size * ranks.count, total))

        def tick(share: float, start: int = start, count: int = len(rows)) -> None:
            progress(start + share * count, total)

        share = ranks.share(len(rows)) or range(1)  # without a share, one image that is dropped
        with out_of_memory_advice(f"at batch size {size}: try a smaller batch size"):
            batch = images.batch(rows[share.start : share.stop], tick)
            found = extractor(send(to_rgb(batch), options.device))
        yield _gathered(found, len(rows), ranks) if ranks.count > 1 else found


def _gathered(share: Features, total: int, ranks: Ranks) -> Features:
    """The features of all ranks' shares, on the CPU."""
    count = len(ranks.share(total))
    logits = None if share.logits is None else share.logits[:count].float().cpu()
    return Features(
        ranks.gather(share.features[:count].float().cpu(), total),
        None if logits is None else ranks.gather(logits, total),
    )


@contextlib.contextmanager
def _store_directory(
    images: ImageSet, extractor: Extractor, options: CollectOptions
) -> Iterator[Path]:
    if options.cache_dir is None:
        with tempfile.TemporaryDirectory(prefix="nkca-") as name:
            yield Path(name)
        return
    key = json.dumps([FORMAT, images.identity, asdict(extractor.description)])
    yield options.cache_dir / "features" / hashlib.sha256(key.encode()).hexdigest()

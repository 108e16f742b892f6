"""Every image of a listing as one uint8 array, decoded once, then memory-mapped.

A cache entry is a directory named by a hash of the listing's digest and the options. It is written
under a temporary name and renamed when complete, so an entry is either complete or absent.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nkca.data.decode import AS_PICTURES, PixelArray
from nkca.data.headers import SizeCount
from nkca.data.listing import Listing, open_source
from nkca.data.pillow import silence_pillow
from nkca.data.reading import (
    Batch,
    DecodePlan,
    LoadOptions,
    Named,
    OnDecode,
    check_unreadable,
    read_headers,
    read_pixels,
)
from nkca.data.workers import worker_pool
from nkca.errors import InputError
from nkca.system.files import atomic_write, write_text

FORMAT_VERSION = 1
_STALE_SECONDS = 24 * 3600
_IMAGES, _META = "images.u8", "meta.json"
_UNIT_LEVELS = np.arange(256) / 127.5 - 1


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """The readable images of a listing, in its order.

    `images`: (N, H, W, C) uint8, read-only: a memory map of `file`, or an array where `file` is
    None; `names`: N file names; `unreadable`: (name, reason) of those that cannot be read;
    `histogram`: (256,) int64, how often each byte occurs in `images`;
    `from_cache`: no image file was opened to make this; `left_out`: (name, reason) of readable images
    that are not used; `sizes`: of the files, the commonest first.
    A pickle holds the bytes of an array, but only the path of a memory map.
    """

    images: PixelArray
    names: tuple[str, ...]
    unreadable: Named
    histogram: npt.NDArray[np.int64]
    from_cache: bool
    file: Path | None = None
    left_out: Named = ()
    sizes: tuple[SizeCount, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def mean(self) -> float:
        """Mean of all values of `images` in [-1, 1] (byte / 127.5 - 1)."""
        return float(self.histogram @ _UNIT_LEVELS / self.histogram.sum())

    @property
    def std(self) -> float:
        """Standard deviation of all values of `images` in [-1, 1]."""
        squares = self.histogram @ (_UNIT_LEVELS - self.mean) ** 2
        return float(np.sqrt(squares / self.histogram.sum()))

    def __reduce__(self) -> tuple[Any, ...]:
        rest = tuple(getattr(self, f.name) for f in dataclasses.fields(self)[1:])
        if self.file is None:
            return _from_array, (np.asarray(self.images), *rest)
        return _from_file, (self.images.shape, *rest)


def _from_array(images: PixelArray, *rest: Any) -> DecodedImages:
    images.flags.writeable = False
    return DecodedImages(images, *rest)


def _from_file(shape: tuple[int, ...], *rest: Any) -> DecodedImages:
    return DecodedImages(np.memmap(rest[4], np.uint8, "r", shape=shape), *rest)


def load_images(
    listing: Listing,
    options: LoadOptions,
    cache_dir: Path | None,
    workers: int = 1,
    progress: OnDecode | None = None,
) -> DecodedImages:
    """Decode every image of `listing` with `workers` threads or processes, or map a cached result.

    If `cache_dir` is None, the array is kept in memory. `progress(done, total)` is called from this
    thread; total is twice the number of images, because there are two passes. It is not called for
    a cached result. Raises InputError if sizes differ (without resize), no image is readable, any is
    unreadable (if strict), or the cache folder cannot be written.
    """
    if cache_dir is None:
        with _decoding_batches(listing, options, workers, progress) as (plan, batches):
            loaded = _collect(listing, plan, batches)
    else:
        loaded = _load_cached(listing, options, cache_dir.absolute(), workers, progress)
    check_unreadable(loaded.unreadable, len(listing) - len(loaded.left_out), options.strict)
    return loaded


@contextlib.contextmanager
def _decoding_batches(
    listing: Listing, options: LoadOptions, workers: int, progress: OnDecode | None
) -> Iterator[tuple[DecodePlan, Iterator[Batch]]]:
    with silence_pillow(), open_source(listing) as read, worker_pool(workers, len(listing)) as pool:
        plan = read_headers(listing, read, options, pool, progress)
        with contextlib.closing(read_pixels(listing, read, plan, pool, progress)) as batches:
            yield plan, batches


def _collect(listing: Listing, plan: DecodePlan, batches: Iterator[Batch]) -> DecodedImages:
    images = np.empty((len(plan.indices), *plan.shape), np.uint8)
    histogram = np.zeros(256, np.int64)
    unreadable = plan.unreadable
    kept = 0
    for batch in batches:
        images[kept : kept + len(batch.images)] = batch.images
        kept += len(batch.images)
        histogram += np.bincount(batch.images.reshape(-1), minlength=256)
        unreadable += batch.unreadable
    names = _names_used(listing, unreadable + plan.left_out)
    check_unreadable(unreadable, len(listing) - len(plan.left_out), strict=False)
    rest = (None, plan.left_out, plan.sizes)
    return _from_array(images[:kept], names, unreadable, histogram, False, *rest)


def _names_used(listing: Listing, unused: Named) -> tuple[str, ...]:
    if not unused:
        return listing.names
    without = {name for name, _ in unused}
    return tuple(name for name in listing.names if name not in without)


def _load_cached(
    listing: Listing,
    options: LoadOptions,
    cache_dir: Path,
    workers: int,
    progress: OnDecode | None,
) -> DecodedImages:
    entry = cache_dir / _entry_name(listing, options)
    loaded = _open_entry(entry, listing, from_cache=True)
    if loaded is not None:
        return loaded
    with _cache_errors(cache_dir), _temporary(cache_dir) as temporary:
        with _decoding_batches(listing, options, workers, progress) as (plan, batches):
            _write_entry(temporary / entry.name, listing, plan, batches)
        _publish(temporary, entry, listing)
    loaded = _open_entry(entry, listing, from_cache=False)
    if loaded is None:
        raise InputError(f"{entry}: this cache entry was removed as soon as it was written")
    return loaded


def _entry_name(listing: Listing, options: LoadOptions) -> str:
    parts = (FORMAT_VERSION, listing.digest(), options.resize, options.channels)
    fit = [] if options.fit == "crop" else [options.fit]
    reader = [] if options.reader == AS_PICTURES else [repr(options.reader)]
    text = json.dumps([*parts, *options.background, *fit, *reader])
    return hashlib.sha256(text.encode()).hexdigest()


def _write_entry(entry: Path, listing: Listing, plan: DecodePlan, batches: Iterator[Batch]) -> None:
    entry.mkdir()
    histogram = np.zeros(256, np.int64)
    unreadable = plan.unreadable
    with atomic_write(entry / _IMAGES) as file:
        for batch in batches:
            file.write(batch.images.data)
            histogram += np.bincount(batch.images.reshape(-1), minlength=256)
            unreadable += batch.unreadable
    images = len(listing) - len(plan.left_out)
    check_unreadable(unreadable, images, strict=False)
    meta = {
        "key": entry.name,
        "shape": [images - len(unreadable), *plan.shape],
        "unreadable": unreadable,
        "left_out": plan.left_out,
        "sizes": plan.sizes,
        "histogram": histogram.tolist(),
    }
    write_text(entry / _META, json.dumps(meta))


def _open_entry(entry: Path, listing: Listing, from_cache: bool) -> DecodedImages | None:
    """Map a complete entry; None if there is none or it is damaged, and must be built again."""
    try:
        meta = json.loads((entry / _META).read_text("utf-8"))
        shape = tuple(map(int, meta["shape"]))
        unreadable, left_out = (
            tuple((str(name), str(reason)) for name, reason in meta[part])
            for part in ("unreadable", "left_out")
        )
        sizes = tuple(
            SizeCount(int(h), int(w), int(n), str(name)) for h, w, n, name in meta["sizes"]
        )
        histogram = np.array(meta["histogram"], np.int64)
        size = (entry / _IMAGES).stat().st_size
        is_whole = meta["key"] == entry.name
    except (OSError, ValueError, KeyError, TypeError):
        return None
    names = _names_used(listing, unreadable + left_out)
    is_whole &= len(shape) == 4 and min(shape) > 0 and shape[0] == len(names)
    is_whole &= math.prod(shape) == size and histogram.shape == (256,) and histogram.sum() == size
    if not is_whole:
        return None
    rest = (histogram, from_cache, entry / _IMAGES, left_out, sizes)
    return _from_file(shape, names, unreadable, *rest)


def _publish(temporary: Path, entry: Path, listing: Listing) -> None:
    """Rename the new entry into place, unless another process has put a complete one there."""
    for attempt in range(100):
        try:
            (temporary / entry.name).rename(entry)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        if _open_entry(entry, listing, from_cache=True) is not None:
            return
        with contextlib.suppress(FileNotFoundError):
            entry.rename(temporary / f"damaged-{attempt}")


@contextlib.contextmanager
def _temporary(cache_dir: Path) -> Iterator[Path]:
    """Create a directory in `cache_dir`; remove it and its content when the block ends."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    _remove_stale(cache_dir)
    temporary = cache_dir / f".{os.getpid()}-{secrets.token_hex(8)}.tmp"
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_stale(cache_dir: Path) -> None:
    """Remove the temporary directories of killed processes: those unchanged for a day."""
    for directory in cache_dir.glob(".*.tmp"):
        with contextlib.suppress(OSError):  # another process removes it too, or still writes to it
            times = [path.stat().st_mtime for path in (directory, *directory.rglob("*"))]
            if time.time() - max(times) > _STALE_SECONDS:
                shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _cache_errors(cache_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{cache_dir}: cannot write the cache here: {reason}; "
            "name another place (cache_dir), or switch the cache off"
        ) from error

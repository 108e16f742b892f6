"""The two passes over a listing: all headers, which settle size and channels, then all pixels."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from nkca.data.decode import WHITE, Color, DecodeOptions, Pixels, Probe, decode, probe
from nkca.data.listing import Listing, ReadImage, UnreadableImageError
from nkca.errors import InputError

Progress: TypeAlias = Callable[[int, int], None]
Unreadable: TypeAlias = tuple[tuple[str, str], ...]
T = TypeVar("T")

_HEADERS_PER_BATCH = 64
_BYTES_PER_BATCH = 1 << 22
_BATCHES_AHEAD = 8


@dataclass(frozen=True)
class LoadOptions:
    """How a listing becomes one array.

    `resize`: N for N x N, None to keep the size that all images must then share;
    `channels`: 1, 3 or 4, or None for 3 if any image is in colour, else 1;
    `background`: what transparent pixels are laid on (not with 4 channels);
    `strict`: an unreadable image is an error, rather than left out and recorded.
    """

    resize: int | None = None
    channels: Literal[1, 3, 4] | None = None
    background: Color = WHITE
    strict: bool = False

    def __post_init__(self) -> None:
        DecodeOptions(self.resize, self.channels or 3, self.background)  # checks the ranges


@dataclass(frozen=True)
class Plan:
    """What the headers settled: the images to decode (indices), to what, and what is left out."""

    indices: tuple[int, ...]
    height: int
    width: int
    options: DecodeOptions
    unreadable: Unreadable

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return self.height, self.width, self.options.channels


@dataclass(frozen=True)
class Batch:
    """Some images in the order of the listing, (n, H, W, C) uint8, and those left out of it."""

    images: Pixels
    unreadable: Unreadable


def read_headers(
    listing: Listing,
    read: ReadImage,
    options: LoadOptions,
    pool: Executor,
    progress: Progress | None = None,
) -> Plan:
    """Probe every image. Raises InputError if sizes differ (without resize) or none is readable.

    `progress(done, total)` counts both passes: this one goes from 0 to half of total.
    """
    found: dict[int, Probe] = {}
    unreadable: list[tuple[str, str]] = []
    batches = _slices(range(len(listing)), _HEADERS_PER_BATCH)
    for outcome in _in_order(
        pool, lambda batch: [_attempt(probe, read, i) for i in batch], batches
    ):
        for result in outcome:
            index = len(found) + len(unreadable)
            if isinstance(result, str):
                unreadable.append((listing.names[index], result))
            else:
                found[index] = result
        _report(progress, len(found) + len(unreadable), listing)
    check_unreadable(tuple(unreadable), len(listing), options.strict)
    if options.resize is None:
        _check_sizes(listing, found)
    first = next(iter(found.values()))
    return Plan(
        indices=tuple(found),
        height=options.resize or first.height,
        width=options.resize or first.width,
        options=DecodeOptions(
            options.resize,
            options.channels or (3 if any(p.channels == 3 for p in found.values()) else 1),
            options.background,
        ),
        unreadable=tuple(unreadable),
    )


def read_pixels(
    listing: Listing,
    read: ReadImage,
    plan: Plan,
    pool: Executor,
    progress: Progress | None = None,
) -> Generator[Batch, None, None]:
    """Decode the planned images in order, in batches of a few MB; memory stays constant.

    `progress(done, total)` goes on from half of total to total.
    """
    shape = plan.shape

    def work(batch: Sequence[int]) -> Batch:
        images, unreadable = [], []
        for index in batch:
            result = _attempt(lambda file: decode(file, plan.options), read, index)
            if isinstance(result, str):
                unreadable.append((listing.names[index], result))
            elif result.shape != shape:  # the file changed, or its header does not tell the truth
                reason = f"decoded to {result.shape[1]}x{result.shape[0]}, not as its header says"
                unreadable.append((listing.names[index], reason))
            else:
                images.append(result)
        return Batch(np.array(images, np.uint8).reshape(-1, *shape), tuple(unreadable))

    size = max(1, min(256, _BYTES_PER_BATCH // (shape[0] * shape[1] * shape[2])))
    done = 2 * len(listing) - len(plan.indices)
    for batch in _in_order(pool, work, _slices(plan.indices, size)):
        done += len(batch.images) + len(batch.unreadable)
        yield batch
        _report(progress, done, listing)


def check_unreadable(unreadable: Unreadable, total: int, strict: bool) -> None:
    """Raise InputError if all images are unreadable, or, where `strict`, any."""
    if unreadable and (strict or len(unreadable) == total):
        name, reason = unreadable[0]
        raise InputError(f"{len(unreadable)} of {total} images unreadable, first {name}: {reason}")


def _check_sizes(listing: Listing, found: dict[int, Probe]) -> None:
    sizes = Counter((header.width, header.height) for header in found.values())
    if len(sizes) == 1:
        return
    examples: dict[tuple[int, int], str] = {}
    for index, header in found.items():
        examples.setdefault((header.width, header.height), listing.names[index])
    parts = [
        f"{count} of {size[0]}x{size[1]} ({examples[size]})" for size, count in sizes.most_common(5)
    ]
    more = f", and {len(sizes) - 5} sizes more" if len(sizes) > 5 else ""
    smallest = min(map(min, sizes))
    raise InputError(f"images differ in size, use --resize={smallest}: {', '.join(parts)}{more}")


def _attempt(work: Callable[..., T], read: ReadImage, index: int) -> T | str:
    """Return what `work` makes of image `index`, or the reason why it cannot be read."""
    try:
        return work(read(index))
    except UnreadableImageError as error:
        return str(error)


def _in_order(
    pool: Executor, work: Callable[[Sequence[int]], T], batches: Iterator[Sequence[int]]
) -> Iterator[T]:
    """Like `pool.map`, but with only a few batches ahead of the consumer."""
    pending: deque[Future[T]] = deque()
    try:
        for batch in batches:
            pending.append(pool.submit(work, batch))
            if len(pending) > _BATCHES_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _slices(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _report(progress: Progress | None, done: int, listing: Listing) -> None:
    if progress is not None:
        progress(done, 2 * len(listing))

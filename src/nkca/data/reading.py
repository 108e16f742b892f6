"""The two passes over a listing: all headers, which determine size and channels, then all pixels."""

import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from nkca.data.decode import WHITE, Color, DecodeOptions, PixelArray, Probe, decode, probe
from nkca.data.listing import ImageSource, Listing, ReadImage, UnreadableImageError
from nkca.data.workers import WorkerPool
from nkca.errors import InputError

OnDecode: TypeAlias = Callable[[int, int], None]  # (done, total), see `nkca.data.cache.load_images`
Unreadable: TypeAlias = tuple[tuple[str, str], ...]
SourceOrError: TypeAlias = ImageSource | UnreadableImageError
T = TypeVar("T")

_HEADERS_PER_BATCH = 512
_BYTES_PER_BATCH = 1 << 22


@dataclass(frozen=True)
class LoadOptions:
    """How a listing becomes one array.

    `resize`: N for N x N, None to keep the size, which must then be the same for all images;
    `channels`: 1, 3 or 4, or None for 3 if any image is in colour, else 1;
    `background`: the colour behind transparent pixels, RGB in 0..255 (not used with 4 channels);
    `strict`: an unreadable image is an error, instead of being left out and recorded.
    """

    resize: int | None = None
    channels: Literal[1, 3, 4] | None = None
    background: Color = WHITE
    strict: bool = False

    def __post_init__(self) -> None:
        DecodeOptions(self.resize, self.channels or 3, self.background)  # checks the ranges


@dataclass(frozen=True)
class DecodePlan:
    """What to decode, from the headers: the indices of images, their size, and those left out."""

    indices: Sequence[int]
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
    """Some images in the order of the listing, (n, H, W, C) uint8, and the unreadable ones."""

    images: PixelArray
    unreadable: Unreadable


@dataclass
class _Headers:
    """A summary of the headers of all images; it stays small for many images."""

    unreadable: dict[int, str] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    examples: dict[tuple[int, int], int] = field(default_factory=dict)
    seen: int = 0
    in_colour: bool = False

    def add(self, header: Probe | str) -> None:
        """Add the header of the next image, or the reason why it cannot be read."""
        if isinstance(header, str):
            self.unreadable[self.seen] = header
        else:
            size = (header.width, header.height)
            self.sizes[size] += 1
            self.examples.setdefault(size, self.seen)
            self.in_colour |= header.channels == 3
        self.seen += 1

    def indices(self) -> Sequence[int]:
        """The indices of the readable images."""
        if not self.unreadable:
            return range(self.seen)
        return [index for index in range(self.seen) if index not in self.unreadable]


def read_headers(
    listing: Listing,
    read: ReadImage,
    options: LoadOptions,
    pool: WorkerPool,
    progress: OnDecode | None = None,
) -> DecodePlan:
    """Read every header. Raises InputError if sizes differ (without resize) or no image is readable.

    `progress(done, total)` counts both passes: this one goes from 0 to half of total.
    """
    headers = _Headers()
    batches = _slices(range(len(listing)), _HEADERS_PER_BATCH)

    def work(batch: Sequence[int]) -> list[Probe | str]:
        parts = (pool.call(_probe_all, files) for files in _read_sources(read, batch))
        return list(itertools.chain.from_iterable(parts))

    for batch in pool.in_order(work, batches):
        for header in batch:
            headers.add(header)
        _report(progress, headers.seen, listing)
    unreadable = tuple((listing.names[i], reason) for i, reason in headers.unreadable.items())
    check_unreadable(unreadable, len(listing), options.strict)
    if options.resize is None:
        _check_sizes(listing, headers)
    width, height = next(iter(headers.sizes))
    return DecodePlan(
        indices=headers.indices(),
        height=options.resize or height,
        width=options.resize or width,
        options=DecodeOptions(
            options.resize,
            options.channels or (3 if headers.in_colour else 1),
            options.background,
        ),
        unreadable=unreadable,
    )


def read_pixels(
    listing: Listing,
    read: ReadImage,
    plan: DecodePlan,
    pool: WorkerPool,
    progress: OnDecode | None = None,
) -> Generator[Batch, None, None]:
    """Decode the images of `plan` in order, in batches of a few MB, so that memory stays bounded.

    `progress(done, total)` continues from half of total to total.
    """
    height, width, channels = plan.shape
    decode_files = partial(_decode_all, plan.options, plan.shape)

    def work(batch: Sequence[int]) -> Batch:
        images: list[PixelArray] = []
        reasons: list[str | None] = []
        for files in _read_sources(read, batch):
            decoded, why = pool.call(decode_files, files)
            images.append(decoded)
            reasons += why
        named = zip(batch, reasons, strict=True)
        return Batch(
            np.concatenate(images),
            tuple((listing.names[index], reason) for index, reason in named if reason is not None),
        )

    size = max(1, min(512, _BYTES_PER_BATCH // (height * width * channels)))
    done = 2 * len(listing) - len(plan.indices)
    for batch in pool.in_order(work, _slices(plan.indices, size)):
        done += len(batch.images) + len(batch.unreadable)
        yield batch
        _report(progress, done, listing)


def _read_sources(read: ReadImage, batch: Sequence[int]) -> Iterator[list[SourceOrError]]:
    """Yield the paths or bytes of some images, or their errors; at most a few MB of bytes at a time."""
    found: list[SourceOrError] = []
    held = 0
    for index in batch:
        try:
            file = read(index)
        except UnreadableImageError as error:
            found.append(error)
            continue
        found.append(file)
        held += len(file) if isinstance(file, bytes) else 0
        if held >= _BYTES_PER_BATCH:
            yield found
            found, held = [], 0
    if found:
        yield found


def _probe_all(files: Sequence[SourceOrError]) -> list[Probe | str]:
    """The header of each image, or the reason why it cannot be read."""
    return [_result_or_reason(probe, file) for file in files]


def _decode_all(
    options: DecodeOptions, shape: tuple[int, int, int], files: Sequence[SourceOrError]
) -> tuple[PixelArray, list[str | None]]:
    """The readable images, (n, H, W, C), and for each file the reason why it is unreadable, or None."""
    images: list[PixelArray] = []
    reasons: list[str | None] = []
    for file in files:
        result = _result_or_reason(partial(decode, options=options), file)
        if isinstance(result, str):
            reasons.append(result)
        elif result.shape != shape:  # the file has changed, or its header is wrong
            size = f"{result.shape[1]}x{result.shape[0]}"
            reasons.append(f"decoded to {size}, not as its header says")
        else:
            images.append(result)
            reasons.append(None)
    return np.array(images, np.uint8).reshape(-1, *shape), reasons


def _result_or_reason(work: Callable[[ImageSource], T], file: SourceOrError) -> T | str:
    """The result of `work` for a file, or the reason why it cannot be read."""
    if isinstance(file, UnreadableImageError):
        return str(file)
    try:
        return work(file)
    except UnreadableImageError as error:
        return str(error)


def check_unreadable(unreadable: Unreadable, total: int, strict: bool) -> None:
    """Raise InputError if all images are unreadable or, if `strict`, any of them."""
    if unreadable and (strict or len(unreadable) == total):
        name, reason = unreadable[0]
        raise InputError(f"{len(unreadable)} of {total} images unreadable, first {name}: {reason}")


def _check_sizes(listing: Listing, headers: _Headers) -> None:
    sizes = headers.sizes
    if len(sizes) == 1:
        return
    parts = [
        f"{count} of {size[0]}x{size[1]} ({listing.names[headers.examples[size]]})"
        for size, count in sizes.most_common(5)
    ]
    more = f", and {len(sizes) - 5} more sizes" if len(sizes) > 5 else ""
    smallest = min(map(min, sizes))
    raise InputError(f"images differ in size, use resize={smallest}: {', '.join(parts)}{more}")


def _slices(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _report(progress: OnDecode | None, done: int, listing: Listing) -> None:
    if progress is not None:
        progress(done, 2 * len(listing))

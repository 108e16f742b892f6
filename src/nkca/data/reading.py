"""The two passes over a listing: all headers, which determine size and channels, then all pixels."""

import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from nkca.config.image_size import ANY_SIZE, Accepted, ImageSize, describe, sides
from nkca.data.decode import (
    AS_PICTURES,
    WHITE,
    DecodeOptions,
    PixelArray,
    Probe,
    Reader,
    decode,
    probe,
)
from nkca.data.fitting import Color, Size
from nkca.data.headers import Headers, SizeCount
from nkca.data.listing import ImageSource, Listing, ReadImage, UnreadableImageError
from nkca.data.workers import WorkerPool
from nkca.errors import InputError

OnDecode: TypeAlias = Callable[[int, int], None]  # (done, total), see `nkca.data.cache.load_images`
Named: TypeAlias = tuple[tuple[str, str], ...]  # (name of a file, reason)
SourceOrError: TypeAlias = ImageSource | UnreadableImageError
T = TypeVar("T")

_HEADERS_PER_BATCH = 512
_BYTES_PER_BATCH = 1 << 22


@dataclass(frozen=True)
class LoadOptions:
    """How a listing becomes one array.

    `resize`: N for N x N, or (height, width); None: the files' own size, which must then be the same
    for all images, or, if `fit` is "pad", the largest height and width;
    `channels`: 1, 3 or 4, or None for 3 if any image is in colour, else 1;
    `background`: the colour behind transparent pixels and of padding, RGB in 0..255;
    `strict`: an unreadable image is an error, instead of being left out and recorded;
    `fit`: images of another shape than `resize` are cut, or padded; with "commonest" only those of the
    commonest size are used, and cut if need be;
    `accepted`: which sizes the caller can use, for messages that propose one;
    `reader`: how the pixels of a file are understood.
    """

    resize: ImageSize | None = None
    channels: Literal[1, 3, 4] | None = None
    background: Color = WHITE
    strict: bool = False
    fit: str = "crop"
    accepted: Accepted = ANY_SIZE
    reader: Reader = AS_PICTURES

    def __post_init__(self) -> None:
        DecodeOptions(self.resize, self.channels or 3, self.background)  # checks the ranges


@dataclass(frozen=True)
class DecodePlan:
    """What to decode, from the headers: the indices of images, their size, and those left out.

    `sizes`: how many of the images have which size.
    """

    indices: Sequence[int]
    height: int
    width: int
    options: DecodeOptions
    unreadable: Named
    left_out: Named
    sizes: tuple[SizeCount, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return self.height, self.width, self.options.channels


@dataclass(frozen=True)
class Batch:
    """Some images in the order of the listing, (n, H, W, C) uint8, and the unreadable ones."""

    images: PixelArray
    unreadable: Named


def read_headers(
    listing: Listing,
    read: ReadImage,
    options: LoadOptions,
    pool: WorkerPool,
    progress: OnDecode | None = None,
) -> DecodePlan:
    """Read every header. Raises InputError if sizes differ (without resize) or there is nothing to use.

    `progress(done, total)` counts both passes: this one goes from 0 to half of total.
    """
    headers = Headers()
    batches = _slices(range(len(listing)), _HEADERS_PER_BATCH)

    def work(batch: Sequence[int]) -> list[Probe | str]:
        parts = (pool.call(_probe_all, files) for files in _read_sources(read, batch))
        return list(itertools.chain.from_iterable(parts))

    for batch in pool.in_order(work, batches):
        for header in batch:
            headers.add(listing.names[len(headers.size_of)], header)
        _report(progress, len(headers.size_of), listing)
    unreadable = _by_name(listing, headers.unreadable)
    check_unreadable(unreadable, len(listing) - len(headers.left_out), options.strict)
    if not headers.sizes:
        name, reason = _by_name(listing, headers.left_out)[0]
        raise InputError(f"{listing.path} holds no image to use: {name} is {reason}")
    if options.fit == "commonest":
        headers.keep_only(headers.commonest())
    size = _size(listing, headers, options)
    pads = options.fit == "pad"
    return DecodePlan(
        indices=headers.indices(),
        height=size[0],
        width=size[1],
        options=DecodeOptions(
            size if pads else options.resize,
            options.channels or (3 if headers.in_colour else 1),
            options.background,
            pads,
            options.reader,
        ),
        unreadable=unreadable,
        left_out=_by_name(listing, headers.left_out),
        sizes=headers.counts(listing),
    )


def _by_name(listing: Listing, reasons: Mapping[int, str]) -> Named:
    return tuple((listing.names[index], reason) for index, reason in reasons.items())


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
            size = describe(*result.shape[:2])
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


def check_unreadable(unreadable: Named, total: int, strict: bool) -> None:
    """Raise InputError if all images are unreadable or, if `strict`, any of them."""
    if unreadable and (strict or len(unreadable) == total):
        name, reason = unreadable[0]
        raise InputError(f"{len(unreadable)} of {total} images unreadable, first {name}: {reason}")


def _size(listing: Listing, headers: Headers, options: LoadOptions) -> Size:
    """The size of all images. Raises InputError if theirs differ and no option says what then."""
    sizes = headers.sizes
    if options.resize is not None:
        return sides(options.resize)
    if options.fit == "commonest" or len(sizes) == 1:
        return headers.commonest()
    largest = max(height for height, _ in sizes), max(width for _, width in sizes)
    if options.fit == "pad":
        return largest
    raise InputError(headers.say_sizes(listing, largest, options.accepted))


def _slices(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _report(progress: OnDecode | None, done: int, listing: Listing) -> None:
    if progress is not None:
        progress(done, 2 * len(listing))

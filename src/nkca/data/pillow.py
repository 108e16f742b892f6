"""Open an image file with Pillow: a fixed list of formats, no warnings, one kind of error."""

import contextlib
import errno
import io
import threading
import warnings
from collections.abc import Iterator
from typing import IO

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from nkca.data.listing import ImageSource, UnreadableImageError

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF")
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)  # Pillow registers these two when they are imported
_MACHINE_ERRORS = (
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
)  # not caused by the file's content


class TooManyPixelsError(UnreadableImageError):
    """The image has more pixels than Pillow decodes."""

    def __init__(self) -> None:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # Pillow refuses above twice the size it warns of
        super().__init__(f"the image has more than {most // 1_000_000} million pixels")


@contextlib.contextmanager
def open_image(file: ImageSource) -> Iterator[ImageFile.ImageFile]:
    """Open an image and read its header; any error until the block ends is taken as one of the image.

    Raises UnreadableImageError, or OSError for an error of the machine, such as too many open files.
    """
    try:
        with (
            silence_pillow(),
            _stream(file) as stream,
            Image.open(stream, formats=_FORMATS) as image,
        ):
            yield image
    except UnreadableImageError:
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image of a known kind, or damaged") from error
    except Exception as error:
        # Deliberately broad: Pillow's readers raise OSError, SyntaxError, ValueError,
        # TypeError, IndexError, KeyError, EOFError, struct.error, zlib.error, MemoryError,
        # DecompressionBombError ... for hostile files, and the list grows with each release.
        # The block holds only Pillow's work on this one file, and the cause stays chained.
        if isinstance(error, OSError) and error.errno in _MACHINE_ERRORS:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableImageError(reason) from error


@contextlib.contextmanager
def _stream(file: ImageSource) -> Iterator[IO[bytes]]:
    with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as stream:
        if not stream.read(1):
            raise UnreadableImageError("empty file")
        stream.seek(0)
        yield stream


class _PillowSilence:
    """Silences Pillow's Python warnings while at least one thread is inside.

    The warning filters belong to the whole process, so `warnings.catch_warnings` by itself restores
    the wrong ones if threads leave in another order than they entered. Here the first thread that
    enters saves the filters, and the last that leaves restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._saved.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.close()


_PILLOW_SILENCE = _PillowSilence()


def silence_pillow() -> contextlib.AbstractContextManager[None]:
    """Silence Pillow's warnings inside the block, in any number of threads.

    `open_image` does so for one image; a block around many images saves the repeated work.
    """
    return _PILLOW_SILENCE

"""Opening an image file with Pillow: which formats, quietly, and with one kind of error."""

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
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)  # Pillow finds these two only once imported
_MACHINE_ERRORS = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # says nothing of content


@contextlib.contextmanager
def open_image(file: ImageSource) -> Iterator[ImageFile.ImageFile]:
    """Open an image, header only; whatever goes wrong until the block ends is the image's fault.

    Raises UnreadableImageError, or OSError where the machine and not the image is in trouble.
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
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image of a known kind, or damaged") from error
    except Exception as error:
        # The one broad boundary. Pillow's readers raise OSError, SyntaxError, ValueError,
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

    The warning filters belong to the whole process, so `warnings.catch_warnings` alone leaves
    them wrong when two threads leave in another order than they came; here the first in saves
    them and the last out restores them.
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

    `probe` and `decode` do so themselves; a block around many of them saves their doing it.
    """
    return _PILLOW_SILENCE

"""The image files in a folder, an archive or at a path, and how to read the i-th of them.

Listing does not open images: a folder is scanned, a zip's directory and a tar's headers are read.
A `Listing` is a plain value; each process opens it by `open_source` and so has its own file handles.
"""

import contextlib
import hashlib
import heapq
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from nkca.data.archives import (
    ARCHIVE_ERRORS,
    FileEntry,
    ReadMember,
    list_tar,
    list_zip,
    stat_stamp,
    tar_members,
    zip_members,
)
from nkca.errors import InputError

IMAGE_EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
_NAMES_AT_ONCE = 10_000
_TAR_EXTENSIONS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz")

Kind: TypeAlias = Literal["folder", "image", "zip", "tar"]
ImageSource: TypeAlias = bytes | Path
ReadImage: TypeAlias = Callable[[int], ImageSource]


class UnreadableImageError(InputError):
    """One image cannot be read; the message is only the reason, because the caller knows the name."""


@dataclass(frozen=True)
class Listing:
    """The image files of one place, sorted by name; at least one.

    `names` are POSIX paths relative to `path` (absolute); `stamps[i]` changes when the content of
    file i does; `keys[i]` locates file i in an archive, and is "" otherwise.
    """

    path: Path
    kind: Kind
    names: tuple[str, ...]
    stamps: tuple[str, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """Return a sha256 (hex) over names and stamps; a moved folder keeps its digest."""
        # Names contain no NUL and stamps no newline, so the joined text is unambiguous.
        total = hashlib.sha256()
        for first in range(0, len(self), _NAMES_AT_ONCE):
            part = slice(first, first + _NAMES_AT_ONCE)
            pairs = zip(self.names[part], self.stamps[part], strict=True)
            text = "".join(f"{name}\0{stamp}\n" for name, stamp in pairs)
            total.update(text.encode("utf-8", "surrogatepass"))
        return total.hexdigest()


def list_images(path: str | Path) -> Listing:
    """List the images of a directory tree, a .zip, a .tar (plain, gz, bz2, xz) or one file.

    Links are followed, and each directory is visited once; files of other kinds and hidden entries
    (a leading dot, `__MACOSX`) are ignored. Raises InputError when the path does not exist, is
    none of these, cannot be read, or holds no image.
    """
    path = _absolute(path)
    kind = _kind(path)
    images: dict[str, FileEntry] = {}
    others = 0
    try:
        for entry in _SCANNERS[kind](path):
            if _is_image(entry.name):
                images[entry.name] = entry
            else:
                others += 1
    except ARCHIVE_ERRORS as error:
        raise InputError(f"{path}: cannot read this {kind}: {_reason(error)}") from error
    if not images:
        known = " ".join(IMAGE_EXTENSIONS)
        raise InputError(f"{path}: no image found, {others} other files (images: {known})")
    names = tuple(sorted(images))
    return Listing(
        path=path,
        kind=kind,
        names=names,
        stamps=tuple(images[name].stamp for name in names),
        keys=tuple(images[name].key for name in names),
    )


@contextlib.contextmanager
def open_source(listing: Listing) -> Iterator[ReadImage]:
    """Yield a function `read(i)`: the path of image i, or its bytes if it is in an archive.

    Several threads may call `read` at once. It raises UnreadableImageError for a damaged member and
    InputError when the archive itself cannot be opened. The archive is opened by the first
    `read`; a compressed tar is then unpacked, once, to an unnamed temporary file.
    """
    with contextlib.ExitStack() as stack:
        if listing.kind == "image":
            yield lambda _: listing.path
        elif listing.kind == "folder":
            yield lambda index: listing.path / listing.names[index]
        else:
            yield _ArchiveReader(listing, stack)


class _ArchiveReader:
    """Reads one member at a time; the first read opens the archive, `stack` closes it."""

    def __init__(self, listing: Listing, stack: contextlib.ExitStack) -> None:
        self._listing = listing
        self._stack = stack
        self._lock = threading.Lock()
        self._member: ReadMember | None = None

    def __call__(self, index: int) -> bytes:
        with self._lock:
            if self._member is None:
                self._member = self._open()
            try:
                return self._member(self._listing.keys[index])
            except (*ARCHIVE_ERRORS, KeyError) as error:
                reason = f"cannot be read from the archive: {_reason(error)}"
                raise UnreadableImageError(reason) from error

    def _open(self) -> ReadMember:
        path, kind = self._listing.path, self._listing.kind
        opened = zip_members(path) if kind == "zip" else tar_members(path)
        try:
            return self._stack.enter_context(opened)
        except ARCHIVE_ERRORS as error:
            raise InputError(f"{path}: cannot read this {kind}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _absolute(path: str | Path) -> Path:
    with contextlib.suppress(
        RuntimeError
    ):  # an unknown user after "~": the path is kept, and does not exist
        path = Path(path).expanduser()
    path = Path(path).absolute()
    if not os.path.exists(path):  # noqa: PTH110  Path.exists raises if a parent folder is not accessible
        raise InputError(f"{path}: no such file or folder")
    return path


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_EXTENSIONS)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _kind(path: Path) -> Kind:
    name = path.name.lower()
    if path.is_dir():
        return "folder"
    if _is_image(name):
        return "image"
    if name.endswith(".zip"):
        return "zip"
    if name.endswith(_TAR_EXTENSIONS):
        return "tar"
    raise InputError(f"{path}: expected a folder, a .zip, a .tar (.gz .bz2 .xz) or an image file")


def _scan_file(path: Path) -> Iterator[FileEntry]:
    yield FileEntry(path.name, stat_stamp(path.stat()))


def _scan_folder(root: Path) -> Iterator[FileEntry]:
    """Yield every file below `root`; real directories come before links to directories."""
    visited: set[tuple[int, int]] = set()
    pending = [(False, "")]  # (is a link, name relative to root): a heap, so the order is fixed
    while pending:
        _, folder = heapq.heappop(pending)
        stat = (root / folder).stat()
        if (stat.st_dev, stat.st_ino) in visited:
            continue
        visited.add((stat.st_dev, stat.st_ino))
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if _is_hidden(entry.name):
                    continue
                name = f"{folder}/{entry.name}" if folder else entry.name
                what = _entry_type(entry)
                if what == "folder":
                    heapq.heappush(pending, (entry.is_symlink(), name))
                elif what == "file":
                    yield FileEntry(name, stat_stamp(entry.stat()))


def _entry_type(entry: os.DirEntry[str]) -> Literal["folder", "file", "other"]:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
    except OSError:  # a link in a cycle of links
        return "other"


def _without_hidden(entries: Iterator[FileEntry]) -> Iterator[FileEntry]:
    """Leave out hidden entries, and those in hidden folders."""
    return (entry for entry in entries if not any(map(_is_hidden, entry.name.split("/"))))


_SCANNERS: dict[Kind, Callable[[Path], Iterator[FileEntry]]] = {
    "folder": _scan_folder,
    "image": _scan_file,
    "zip": lambda path: _without_hidden(list_zip(path)),
    "tar": lambda path: _without_hidden(list_tar(path)),
}

"""The files inside a zip or a tar: their names, their positions and their bytes.

This module does not depend on images, and never extracts a file to the path that the archive gives.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import posixpath
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

ARCHIVE_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, NotImplementedError, ValueError),  # zip: encrypted, unknown method, bad field
)
"""Raised by the standard library for files that are damaged, encrypted or not archives."""

ReadMember: TypeAlias = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: its POSIX name, a stamp that changes with its content, and the key to read it."""

    name: str
    stamp: str
    key: str = ""


def stat_stamp(stat: os.stat_result) -> str:
    """Return ``size:mtime_ns:ctime_ns``."""
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def list_zip(path: Path) -> Iterator[FileEntry]:
    """Yield every file of a zip; the stamp is its size and CRC. Raises ARCHIVE_ERRORS."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                stamp = f"{member.file_size}:{member.CRC:08x}"
                yield FileEntry(posixpath.normpath(member.filename), stamp, member.filename)


@contextlib.contextmanager
def zip_members(path: Path) -> Iterator[ReadMember]:
    """Open a zip; yield a function from a key to the member's bytes. Raises ARCHIVE_ERRORS."""
    with zipfile.ZipFile(path) as archive:
        yield archive.read


def list_tar(path: Path) -> Iterator[FileEntry]:
    """Yield every file of a tar, links to files included. Raises ARCHIVE_ERRORS.

    The key is ``offset:size`` in the uncompressed tar; the stamp is the key and the stat of the archive.
    (GNU tar stores the second name of a hard-linked file as a link.)
    """
    with _uncompressed(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        members = {posixpath.normpath(member.name): member for member in archive}
    archive_stamp = stat_stamp(path.stat())
    for name, member in members.items():
        target = members.get(_link_target(name, member))
        if target and target.isreg() and not target.issparse():
            key = f"{target.offset_data}:{target.size}"
            yield FileEntry(name, f"{key}:{archive_stamp}", key)


def _link_target(name: str, member: tarfile.TarInfo) -> str:
    if member.islnk():
        return posixpath.normpath(member.linkname)
    if member.issym():
        return posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
    return name


@contextlib.contextmanager
def tar_members(path: Path) -> Iterator[ReadMember]:
    """Open a tar; yield a function from a key to the member's bytes. Raises ARCHIVE_ERRORS.

    A compressed tar is first unpacked to an unnamed temporary file.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_uncompressed(path))
        if _decompressor(path) is not None:
            unpacked = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, unpacked, 1 << 20)
            file = unpacked
        yield lambda key: _read_range(file, *map(int, key.split(":")))


def _read_range(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    content = file.read(size)
    if len(content) != size:
        raise EOFError("the archive is truncated")
    return content


def _uncompressed(path: Path) -> IO[bytes]:
    opener = _decompressor(path)
    return path.open("rb") if opener is None else opener(path)


def _decompressor(path: Path) -> Callable[[Path], IO[bytes]] | None:
    """Return the function that opens a compressed tar, by its first bytes; None for a plain one."""
    with path.open("rb") as file:
        magic = file.read(6)
    openers: dict[bytes, Any] = {
        b"\x1f\x8b": gzip.open,
        b"BZh": bz2.open,
        b"\xfd7zXZ\x00": lzma.open,
    }
    return next((opener for start, opener in openers.items() if magic.startswith(start)), None)

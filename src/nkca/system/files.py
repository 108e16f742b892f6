"""Atomic writes, locks, and directories that are never overwritten."""

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nkca.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has none: nothing is locked there
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("nkca")
_POLL_SECONDS = 0.2


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path``; fsync and rename it there when the block succeeds.

    A crash at any moment leaves either the old file or the new one. On an exception the
    temporary file is removed and ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # PyTorch wraps it
        if isinstance(cause, OSError):  # of the temporary name, or, where a disk is full, of none
            cause.filename = str(path)
            raise cause from None
        raise


def _sync_directory(directory: Path) -> None:
    """Make a rename durable; a no-op where directories cannot be opened (Windows)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    r"""Write ``text`` as UTF-8, atomically; lone surrogates, from file names, as JSON does: \udcff."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def check_possible_directory(path: Path) -> None:
    """Raise `InputError` if ``path``, or what it lies in, is a file."""
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise InputError(f"{path} cannot be a directory: {there} is a file")


def fresh_directory(path: Path) -> Path:
    """Create and return ``path``, or ``path-2``, ``path-3`` ... where it holds something already."""
    for candidate in _beside(path):
        if _make(candidate) or _is_empty(candidate):
            return candidate
    raise AssertionError


@contextlib.contextmanager
def claimed_directory(path: Path) -> Iterator[Path]:
    """As `fresh_directory`; while the block runs no other process gets it, even if it is empty.

    A directory that was made here and is empty at the end is removed.

    Raises:
        InputError: if it cannot be written to.
    """
    for candidate in _beside(path):
        made = _make(candidate)
        try:
            with _claim(candidate) as mine:
                if mine and _is_empty(candidate):
                    if not os.access(candidate, os.W_OK | os.X_OK):
                        raise InputError(f"{candidate}: cannot write into this folder")
                    yield candidate
                    return
        finally:
            if made:
                with contextlib.suppress(OSError):  # something is in it
                    candidate.rmdir()


def _beside(path: Path) -> Iterator[Path]:
    """``path``, ``path-2``, ``path-3`` ..."""
    yield path
    if path.name in ("", ".."):  # "." has no name
        path = path.resolve()
    for number in range(2, 100_000 if path.name else 0):
        yield path.with_name(f"{path.name}-{number}")
    raise InputError(f"no free directory name beside {path}")


def _make(directory: Path) -> bool:
    """Make the directory; False where something of this name exists."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _is_empty(directory: Path) -> bool:
    try:
        return not any(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextlib.contextmanager
def _claim(directory: Path) -> Iterator[bool]:
    """Claim this directory while the block runs; yields False where another process has claimed it."""
    if fcntl is None or not directory.is_dir():
        yield directory.is_dir()
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        mine = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mine = False
        except OSError:  # a file system without locks
            pass
        yield mine
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs, and remove it.

    The lock is released however the process ends; a file that is left over locks nothing.

    Args:
        wait: for another process that holds it.

    Raises:
        InputError: if another process holds it, and ``wait`` is not given.
    """
    file = _lock(path)
    if file is None and not wait:
        raise InputError(f"another process is at work in {path.parent}")
    if file is None:
        logger.info("another process is at work in %s: waiting for it", path.parent)
    while file is None:
        time.sleep(_POLL_SECONDS)
        file = _lock(path)
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps what is open
                path.unlink()


def _lock(path: Path) -> IO[bytes] | None:
    """The lock file, open and locked; None where another process holds it."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("a+b"))
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return None  # the one that held it has just removed it
            except (BlockingIOError, FileNotFoundError):
                return None
        stack.pop_all()
        return file

"""Features on disk, row by row: an interrupted pass continues where it stopped.

A store is a directory: `features.f32` and `logits.f32`, rows of float32, and `progress.json` with the
number of complete rows. A process that dies loses only the rows after the last save.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from torch import Tensor

from nkca.errors import InputError
from nkca.metrics.extractors.contract import Array, Features
from nkca.system.files import locked, write_text

_PROGRESS, _FILES = "progress.json", ("features.f32", "logits.f32")
_SAVE_SECONDS = 5


class FeatureStore:
    """Rows of features on disk, to append and to read; opened by `open_store`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rows = 0
        self._widths: tuple[int, ...] = (0, 0)
        self._files: list[IO[bytes]] = []
        self._saved_at = time.monotonic()
        self._load()

    def append(self, batch: Features) -> None:
        """Append the rows of a batch: features (B, D) and, if any, logits (B, K).

        Raises:
            InputError: if the store holds rows of other widths, or the disk cannot be written.
        """
        parts = [batch.features, batch.features[:, :0] if batch.logits is None else batch.logits]
        widths = tuple(part.shape[1] for part in parts)
        if not self._files:
            if self.rows and widths != self._widths:
                raise InputError(f"{self.directory} holds features of another kind: delete it")
            self._widths = widths
            with _write_errors(self.directory):
                self._files = [self._open(name) for name in _FILES]
        with _write_errors(self.directory):
            for file, part in zip(self._files, parts, strict=True):
                file.write(_bytes(part))
        self.rows += len(batch.features)
        if time.monotonic() - self._saved_at > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the appended rows to the disk."""
        if not self._files:
            return
        with _write_errors(self.directory):
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
            progress = {"rows": self.rows, "widths": list(self._widths)}
            write_text(self.directory / _PROGRESS, json.dumps(progress))
        self._saved_at = time.monotonic()

    def close(self) -> None:
        """Save and close."""
        try:
            self.save()
        finally:
            for file in self._files:
                with contextlib.suppress(OSError):  # rows that did not fit on a full disk are lost
                    file.close()
            self._files = []

    def read(self, count: int) -> tuple[Array, Array | None]:
        """Memory-map the first ``count`` rows: features (count, D), and logits (count, K) or None."""
        self.save()
        assert 0 < count <= self.rows
        features, logits = (
            np.memmap(self.directory / name, np.float32, "c", shape=(count, width))
            if width
            else None
            for name, width in zip(_FILES, self._widths, strict=True)
        )
        assert features is not None
        return features, logits

    def _load(self) -> None:
        """Continue with the rows on disk; start empty if the files do not hold all of them."""
        try:
            progress = json.loads((self.directory / _PROGRESS).read_text("utf-8"))
            rows, widths = int(progress["rows"]), tuple(map(int, progress["widths"]))
            if rows < 0 or widths[0] < 1:
                return
            for name, width in zip(_FILES, widths, strict=True):
                if (self.directory / name).stat().st_size < 4 * rows * width:
                    return
        except (OSError, ValueError, KeyError, TypeError, OverflowError, IndexError):
            return
        self.rows, self._widths = rows, widths

    def _open(self, name: str) -> IO[bytes]:
        """Open a file for writing after the complete rows."""
        file = (self.directory / name).open("r+b" if self.rows else "wb")
        file.truncate(4 * self.rows * self._widths[_FILES.index(name)])
        file.seek(0, os.SEEK_END)
        return file


@contextlib.contextmanager
def open_store(directory: Path, wait: bool = False) -> Iterator[FeatureStore]:
    """Open or create the store in ``directory``; appended rows are saved however the block ends.

    Args:
        wait: if another process has it open, wait until that has finished.

    Raises:
        InputError: if another process has it open and ``wait`` is False, or it cannot be created.
    """
    with contextlib.ExitStack() as stack:
        with _write_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(directory / ".lock", wait))
        yield stack.enter_context(contextlib.closing(FeatureStore(directory)))


@contextlib.contextmanager
def _write_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{directory}: cannot keep features here: {error.strerror or error}; name another place "
            "(cache_dir), or switch the cache off (which needs room in TMPDIR)"
        ) from error


def _bytes(part: Tensor) -> bytes:
    return part.detach().float().cpu().contiguous().numpy().tobytes()

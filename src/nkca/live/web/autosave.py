"""Save the session to a file automatically once a picture was kept; list the saved ones."""

import contextlib
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nkca.errors import InputError
from nkca.live.session.file import to_json
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.system.cache_dir import default_cache_dir
from nkca.system.files import atomic_write

logger = logging.getLogger("nkca")
LISTED = 20
STORED = 50  # of all checkpoints; the oldest go first
HEAD = 8192  # bytes of a file in which its checkpoint stands


@dataclass(frozen=True)
class Place:
    """Where sessions are saved.

    Args:
        folder: in the cache folder.
        stored: the most files in it; the oldest go first.
        own: the most files of one `Autosave`.
    """

    folder: str = "sessions"
    stored: int = STORED
    own: int | None = None


SESSIONS, VISITORS = Place(), Place("visitor-sessions", 4 * STORED, 4)


@dataclass(frozen=True)
class Saved:
    """A saved session: its file, when it was written last (seconds since 1970), how many were kept."""

    path: Path
    changed: float
    kept: int


def saved_sessions(sha256: str) -> list[Saved]:
    """The newest saved sessions of a checkpoint, at most `LISTED`.

    Raises:
        InputError: if the cache folder cannot be told.
    """
    return sessions_among((default_cache_dir() / SESSIONS.folder).glob("*.json"), sha256)


def sessions_among(paths: Iterable[Path], sha256: str) -> list[Saved]:
    """Those of a checkpoint, the newest first, at most `LISTED`."""
    found = []
    for path in sorted(paths, key=_changed, reverse=True):
        with contextlib.suppress(OSError), path.open("rb") as file:
            head = file.read(HEAD)
            if f'"checkpoint_sha256":"{sha256}"'.encode() in head:
                kept = (head + file.read()).count(b'"do":"keep"')
                found.append(Saved(path, _changed(path), kept))
        if len(found) == LISTED:
            break
    return found


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


class Autosave:
    """Writes the session of a shared explorer to a file; each loaded session gets its own file.

    An error becomes one warning and a notice in the page, not an exception.

    Args:
        label: tells the files of one process apart.
    """

    def __init__(self, place: Place = SESSIONS, label: str = "") -> None:
        self.place = place
        self.written: list[Path] = []
        self._epochs: list[int] = []
        self._start = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}{label}"

    def found(self, sha256: str) -> list[Saved]:
        """The sessions of a checkpoint that were saved here."""
        return sessions_among(self.written, sha256)

    def __call__(self, shared: SharedExplorer, always: bool = False) -> None:
        """Write the session if a picture was kept or, with ``always``, if there is any recorded event."""
        state = shared.explorer.state
        if not (state.shelf or state.removed or (always and state.record)):
            return
        try:
            self._write(shared)
        except (OSError, InputError) as error:
            if shared.notice is None:
                reason = getattr(error, "strerror", None) or error
                shared.notice = f"cannot save the session automatically: {reason}"
                logger.warning("%s; continuing without", shared.notice)
            return
        shared.notice = None

    def _write(self, shared: SharedExplorer) -> None:
        folder = default_cache_dir() / self.place.folder
        if shared.epoch not in self._epochs:
            self._epochs.append(shared.epoch)
        number = self._epochs.index(shared.epoch)
        path = folder / f"{self._start}{f'-{number + 1}' if number else ''}.json"
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            Path(file.name).chmod(0o600)  # others of this machine do not read it
            file.write(to_json(shared.session))
        if path not in self.written:
            self.written.append(path)
            self._prune(folder)

    def _prune(self, folder: Path) -> None:
        """Remove the oldest files that are too many: own ones, then any but own ones."""
        most = self.place.own or len(self.written)
        for path in self.written[:-most]:
            path.unlink(missing_ok=True)
        self.written = self.written[-most:]
        paths = sorted(folder.glob("*.json"), key=_changed, reverse=True)
        for path in paths[self.place.stored :]:
            if path not in self.written:
                path.unlink(missing_ok=True)

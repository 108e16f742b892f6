"""Save the session to a file automatically once a picture was kept."""

import logging
import os
import time
from pathlib import Path

from nkca.errors import InputError
from nkca.live.session.file import to_json
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.system.cache_dir import default_cache_dir
from nkca.system.files import atomic_write

logger = logging.getLogger("nkca")


class Autosave:
    """Writes the session of a shared explorer to a file; each loaded session gets its own file.

    An error becomes one warning and a notice in the page, not an exception.
    """

    def __init__(self) -> None:
        self.written: list[Path] = []
        self._epochs: list[int] = []
        self._start = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

    def __call__(self, shared: SharedExplorer, always: bool = False) -> None:
        """Write the session if a picture was kept or, with ``always``, if there is any recorded event."""
        state = shared.explorer.state
        if not (state.shelf or state.removed or (always and state.record)):
            return
        try:
            path = self._write(shared)
        except (OSError, InputError) as error:
            if shared.notice is None:
                reason = getattr(error, "strerror", None) or error
                shared.notice = f"cannot save the session automatically: {reason}"
                logger.warning("%s; continuing without", shared.notice)
            return
        shared.notice = None
        if path not in self.written:
            self.written.append(path)

    def _write(self, shared: SharedExplorer) -> Path:
        folder = default_cache_dir() / "sessions"
        if shared.epoch not in self._epochs:
            self._epochs.append(shared.epoch)
        number = self._epochs.index(shared.epoch)
        path = folder / f"{self._start}{f'-{number + 1}' if number else ''}.json"
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(to_json(shared.session))
        return path

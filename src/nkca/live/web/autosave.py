"""Save the session to a file as soon as something was kept."""

import logging
import os
import time
from pathlib import Path

from nkca.errors import InputError
from nkca.live.session.file import to_json
from nkca.live.web.desk import Desk
from nkca.system.cache_dir import default_cache_dir
from nkca.system.files import atomic_write

logger = logging.getLogger("nkca")


class Autosave:
    """Writes the session of a desk; every session that was loaded begins another file.

    Where that fails it says so once, and goes on.
    """

    def __init__(self) -> None:
        self.written: list[Path] = []
        self._epochs: list[int] = []
        self._start = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

    def __call__(self, desk: Desk, whatever: bool = False) -> None:
        """Write it, if anything was kept, or ``whatever`` happened."""
        story = desk.explorer.story
        if not (story.shelf or story.removed or (whatever and story.record)):
            return
        try:
            path = self._write(desk)
        except (OSError, InputError) as error:
            if desk.notice is None:
                reason = getattr(error, "strerror", None) or error
                desk.notice = f"cannot save the session by itself: {reason}"
                logger.warning("%s; going on", desk.notice)
            return
        desk.notice = None
        if path not in self.written:
            self.written.append(path)

    def _write(self, desk: Desk) -> Path:
        folder = default_cache_dir() / "sessions"
        if desk.epoch not in self._epochs:
            self._epochs.append(desk.epoch)
        number = self._epochs.index(desk.epoch)
        path = folder / f"{self._start}{f'-{number + 1}' if number else ''}.json"
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(to_json(desk.session))
        return path

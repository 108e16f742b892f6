"""The models to choose from: those in the package and those below a folder, each with one finished picture.

A model is known to pages by its number in a list that only grows, so no request can name a file. The
picture is the first sample of the run's newest preview, which costs nothing; without one it is drawn, once,
and kept in the cache folder.
"""

import contextlib
import hashlib
import re
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from nkca.errors import InputError
from nkca.live.web.opened import Opened, Settings, open_model
from nkca.models.build import load_model
from nkca.models.local import LocalModel, ModelFacts, facts_of, models_below, packaged_models
from nkca.pictures.grid import first_in_sheet
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures
from nkca.sampling.inputs import read_picture
from nkca.sampling.tasks import Schedule, draw_task, from_noise
from nkca.system.cache_dir import default_cache_dir
from nkca.system.files import atomic_write
from nkca.version import __version__

DRAW_SECONDS = 20.0
STORED = 200  # pictures in the cache folder; the oldest go first
_PREVIEW = re.compile(r"step_([0-9]{1,12})\.png")
_Stamp = tuple[int, int]  # what changes when a file does
_Key = tuple[Path, _Stamp]


@dataclass(frozen=True)
class Card:
    """A model as the gallery shows it.

    Args:
        facts: None if the file cannot be read, for the reason ``problem``.
        preview: the step of the preview that its picture is from; None: the picture is drawn.
    """

    number: int
    model: LocalModel
    facts: ModelFacts | None
    problem: str = ""
    preview: int | None = None


class NoPictureError(InputError):
    """There is no picture of this model."""


class Gallery:
    """The models in the package and below a folder; see `nkca.live.web.visitors.Models`."""

    first: int | None = None

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self._listed: list[LocalModel] = []
        self._known: dict[_Key, ModelFacts | str] = {}
        self._undrawable: dict[_Key, str] = {}
        self._open: weakref.WeakValueDictionary[_Key, Opened] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many models were listed so far; their numbers are below."""
        return len(self._listed)

    def look(self) -> list[Card]:
        """Search again: the packaged models, then the others, the newest first."""
        with self._lock:
            return [self._card(model) for model in packaged_models() + models_below(self.folder)]

    def open(self, number: int) -> Opened:
        """Open a listed model, or the same one again while it is in use.

        Raises:
            InputError: if there is no such model, or it cannot be read.
        """
        model = self.listed(number)
        key = _key(model)
        opened = self._open.get(key)
        if opened is None:
            opened = self._open[key] = open_model(model.path, self.settings)
        return opened

    def picture(self, number: int) -> bytes:
        """The PNG of a listed model's picture.

        Raises:
            InputError: if there is none, or the model cannot be read.
        """
        model = self.listed(number)
        preview = _newest_preview(model)
        cell = preview and _first_of(preview[1], self._facts(model).data_shape)
        if cell:
            return cell
        file = _cached(model)
        with contextlib.suppress(OSError):
            return file.read_bytes()
        key = _key(model)
        if key in self._undrawable:
            raise NoPictureError(self._undrawable[key])
        try:
            content = _drawn(model, self.settings)
        except NoPictureError as error:
            self._undrawable[key] = str(error)
            raise
        with contextlib.suppress(OSError):  # it is drawn again next time
            _store(file, content)
        return content

    def listed(self, number: int) -> LocalModel:
        """The model of that number. Raises `InputError` if there is none."""
        if not 0 <= number < len(self._listed):
            raise InputError("there is no such model in the gallery")
        return self._listed[number]

    def _card(self, model: LocalModel) -> Card:
        if model not in self._listed:
            self._listed.append(model)
        number = self._listed.index(model)
        try:
            found = self._facts(model)
        except InputError as error:
            return Card(number, model, None, str(error))
        preview = _newest_preview(model)
        return Card(number, model, found, preview=preview and preview[0])

    def _facts(self, model: LocalModel) -> ModelFacts:
        key = _key(model)
        if key not in self._known:
            try:
                self._known[key] = facts_of(model)
            except InputError as error:
                self._known[key] = str(error)
        found = self._known[key]
        if isinstance(found, str):
            raise InputError(found)
        return found


def _key(model: LocalModel) -> _Key:
    return model.path, _stamp(model.path)


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    return found.st_mtime_ns, found.st_size


def _newest_preview(model: LocalModel) -> tuple[int, Path] | None:
    """The step and the file of a run's newest preview; links are left out."""
    if model.packaged:
        return None
    found = []
    with contextlib.suppress(OSError):
        folder = model.path.parent / "previews"
        for file in () if folder.is_symlink() else folder.iterdir():
            named = _PREVIEW.fullmatch(file.name)
            if named and file.is_file() and not file.is_symlink():
                found.append((int(named[1]), file))
    return max(found, default=None)


def _first_of(preview: Path, data_shape: tuple[int, int, int]) -> bytes | None:
    """The PNG of the first sample in a preview; None if the file is something else."""
    channels, height, width = data_shape
    try:
        sheet = as_pictures(read_picture(preview, channels).unsqueeze(0))[0]
    except InputError:
        return None
    cell = first_in_sheet(sheet, height, width)
    return None if cell is None else png_bytes(cell.copy())


def _drawn(model: LocalModel, settings: Settings) -> bytes:
    """The PNG of the sample of seed 0, as `nkca-sample` draws it."""
    until = time.monotonic() + DRAW_SECONDS

    def watch(_share: float) -> None:
        if time.monotonic() > until:
            raise NoPictureError(f"a picture of {model.name} takes more than {DRAW_SECONDS:g} s")

    opened = load_model(model.path, device=settings.device, precision=settings.precision)
    picture = draw_task(opened, from_noise([0]), Schedule(), tick=watch)
    return png_bytes(as_pictures(picture)[0], pixels=opened.pixels)


def _cached(model: LocalModel) -> Path:
    named = f"{model.path.resolve()} {_stamp(model.path)} {__version__}"
    digest = hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()
    return default_cache_dir() / "gallery" / f"{digest[:32]}.png"


def _store(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as stream:
        stream.write(content)
    stored = sorted(file.parent.glob("*.png"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in stored[STORED:]:
        old.unlink(missing_ok=True)

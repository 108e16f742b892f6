"""What nkca-interactive serves: a model or a gallery of them, and chains for all visitors or for each."""

import itertools
import logging
from dataclasses import dataclass
from pathlib import Path

from nkca.cli.options import as_written
from nkca.errors import InputError
from nkca.live.session.file import MAX_BATCH, Precision, Session, caveat, read_session
from nkca.live.web.autosave import VISITORS, Autosave
from nkca.live.web.gallery import Gallery
from nkca.live.web.identity import ByCookie
from nkca.live.web.opened import Settings, open_model
from nkca.live.web.seat import Saves, Seat
from nkca.live.web.visitors import MAX_VISITORS, Limits, Models, OneModel, Visitors
from nkca.live.web.worker import Worker

OWN_REQUESTS = 8  # of one visitor, that may wait
logger = logging.getLogger("nkca")


@dataclass(frozen=True)
class Asked:
    """What the command was given; None: nothing."""

    checkpoint: str | None
    images: tuple[Path, ...]
    session: Path | None
    device: str
    compile: str
    precision: Precision | None
    batch_size: int | None
    lag: float | None
    seed: int | None

    def settings(self, loaded: Session | None = None) -> Settings:
        """How models are opened; for a session that was loaded, as it was made."""
        return Settings(
            self.device,
            loaded.origin.precision if loaded else self.precision or "fp32",
            self.compile,
            self.lag,
            self.batch_size or Settings.batch_size,
            self.seed or 0,
        )


def one_visitor(asked: Asked, saved: Autosave) -> Visitors:
    """Chains that all pages share.

    Raises:
        InputError: if something cannot be read, or does not go together.
    """
    loaded = None if asked.session is None else _read_session(asked, asked.session)
    models = _models(asked, asked.settings(loaded))
    visitors = Visitors(Worker(), models, new_saves=lambda: Saves(saved))
    if loaded is not None:
        visitors.seat_all(_replaying(models, loaded, Saves(saved)))
    return visitors


def each_visitor(asked: Asked, most: int | None) -> Visitors:
    """Chains for each visitor, for at most so many at a time. Raises `InputError` as `one_visitor` does."""
    if asked.session is not None:
        raise InputError("--session is for chains that all share: leave out --per-visitor")
    number = itertools.count(1)

    def new_saves() -> Saves:
        saved = Autosave(VISITORS, f"-visitor-{next(number)}")
        return Saves(saved, saved.found)

    limits = Limits(most or MAX_VISITORS)
    worker = Worker(1, OWN_REQUESTS * limits.visitors, OWN_REQUESTS)
    return Visitors(worker, _models(asked, asked.settings()), ByCookie(), limits, new_saves)


def _read_session(asked: Asked, path: Path) -> Session:
    if asked.checkpoint is None:
        raise InputError("--session needs its model: nkca-interactive CKPT --session=FILE")
    session = read_session(path)
    for name in ("images", "batch_size", "lag", "seed", "precision"):
        if getattr(asked, name) not in (None, ()):
            raise InputError(f"--session has its own settings: leave out {as_written(name)}")
    return session


def _models(asked: Asked, settings: Settings) -> Models:
    if len(asked.images) > MAX_BATCH:
        raise InputError(f"at most {MAX_BATCH} pictures, got {len(asked.images)}")
    if asked.checkpoint is None:
        return Gallery(Path(), settings)
    return OneModel(open_model(asked.checkpoint, settings, asked.images))


def _replaying(models: Models, session: Session, saves: Saves) -> Seat:
    """Chains that begin with the replay of a session."""
    shared = models.open(0).explorer()
    shared.load(session)
    shared.notice = caveat(session.origin, shared.origin)
    if shared.notice:
        logger.warning(shared.notice)
    return Seat(shared, saves)

"""What a page can download: facts about the model, and files made from the session."""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nkca.errors import InputError
from nkca.live.chains.choices import choices_csv
from nkca.live.chains.explorer import Setup
from nkca.live.chains.held import sides_for
from nkca.live.chains.state import ExplorerState, Kept
from nkca.live.session.export import Cut, animation, shelf_grid, shelf_zip
from nkca.live.session.file import Origin, Session, to_json
from nkca.live.web.messages import ModelFacts
from nkca.live.web.shared_explorer import BusyError
from nkca.models.model import Model
from nkca.pixels import ContinuousPixels, PalettePixels
from nkca.version import __version__

Query: TypeAlias = Mapping[str, str]  # of a request for a file


@dataclass(frozen=True)
class Snapshot:
    """The session and the state after a turn, and their model."""

    session: Session
    state: ExplorerState
    model: Model


def model_facts(model: Model, origin: Origin, setup: Setup) -> ModelFacts:
    """What a page reads of the model when it loads."""
    return {
        "checkpoint": origin.checkpoint,
        "digest": origin.checkpoint_sha256,
        "data_shape": model.data_shape,
        "batch": setup.batch_size,
        "min_level": model.min_noise,
        "seed": setup.seed,
        "images": 0 if setup.images is None else len(setup.images),
        "palette": model.pixels.colors if isinstance(model.pixels, PalettePixels) else None,
        "categorical": not isinstance(model.pixels, ContinuousPixels),
        "sides": list(sides_for(model)),
        "mp4": shutil.which("ffmpeg") is not None,
        "gif": True,
        "device": str(model.device),
        "version": __version__,
    }


def _shelf(now: Snapshot) -> tuple[Kept, ...]:
    if not now.state.shelf:
        raise BusyError("nothing has been kept yet")
    return now.state.shelf


def _animation(now: Snapshot, kind: str, query: Query) -> bytes:
    recording = now.state.recording
    if recording is None or not recording.frames:
        raise BusyError("nothing has been recorded yet")
    return animation(recording, kind, _cut(query) if query else None)


def _cut(query: Query) -> Cut:
    """The part of a recording that ``tiles=0,3&zoom=8`` asks for."""
    tiles, zoom = query.get("tiles", ""), query.get("zoom", "")
    if not (re.fullmatch(r"\d{1,4}(,\d{1,4}){0,1023}", tiles, re.ASCII)):
        raise InputError("'tiles' must be numbers with commas between, counted from 0")
    if not re.fullmatch(r"[1-9]\d{0,2}", zoom, re.ASCII):
        raise InputError("'zoom' must be a whole number from 1 to 999")
    return Cut(tuple(map(int, tiles.split(","))), int(zoom))


def _choices(now: Snapshot) -> bytes:
    if not now.state.choices:
        raise BusyError("nothing has been chosen yet")
    return choices_csv(now.state.choices)


DOWNLOADS: Mapping[str, Callable[[Snapshot, Query], bytes]] = {
    "session.json": lambda now, _: to_json(now.session),
    "shelf.png": lambda now, _: shelf_grid(_shelf(now)),
    "shelf.zip": lambda now, _: shelf_zip(now.session, _shelf(now), now.model.pixels),
    "choices.csv": lambda now, _: _choices(now),
    "recording.gif": lambda now, query: _animation(now, "gif", query),
    "recording.mp4": lambda now, query: _animation(now, "mp4", query),
}

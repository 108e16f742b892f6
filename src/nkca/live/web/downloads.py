"""What a page can download: facts about the model, and files made from the session."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nkca.live.chains.choices import choices_csv
from nkca.live.chains.explorer import Setup
from nkca.live.chains.state import ExplorerState, Kept
from nkca.live.session.export import animation, shelf_grid, shelf_zip
from nkca.live.session.file import Origin, Session, to_json
from nkca.live.web.messages import ModelFacts
from nkca.live.web.shared_explorer import BusyError
from nkca.models.model import Model
from nkca.pixels import ContinuousPixels, Pixels
from nkca.version import __version__


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
        "categorical": not isinstance(model.pixels, ContinuousPixels),
        "mp4": shutil.which("ffmpeg") is not None,
        "gif": True,
        "device": str(model.device),
        "version": __version__,
    }


def _shelf(now: Snapshot) -> tuple[Kept, ...]:
    if not now.state.shelf:
        raise BusyError("nothing has been kept yet")
    return now.state.shelf


def _animation(now: Snapshot, kind: str) -> bytes:
    recording = now.state.recording
    if recording is None or not recording.frames:
        raise BusyError("nothing has been recorded yet")
    return animation(recording, kind)


def _choices(now: Snapshot) -> bytes:
    if not now.state.choices:
        raise BusyError("nothing has been chosen yet")
    return choices_csv(now.state.choices)


DOWNLOADS: Mapping[str, Callable[[Snapshot, Pixels], bytes]] = {
    "session.json": lambda now, _pixels: to_json(now.session),
    "shelf.png": lambda now, _pixels: shelf_grid(_shelf(now)),
    "shelf.zip": lambda now, pixels: shelf_zip(now.session, _shelf(now), pixels),
    "choices.csv": lambda now, _pixels: _choices(now),
    "recording.gif": lambda now, _pixels: _animation(now, "gif"),
    "recording.mp4": lambda now, _pixels: _animation(now, "mp4"),
}

"""A moment as the page shows it: an image of all tiles, a thumbnail, and JSON fields."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nkca.live.chains.history import Entry, History
from nkca.live.chains.masks import pace_text
from nkca.live.chains.recording import Recording
from nkca.live.chains.state import ExplorerState
from nkca.live.chains.tiles import Tiles
from nkca.live.session.export import name_of
from nkca.live.web import messages
from nkca.live.web.messages import View
from nkca.models.model import Model
from nkca.pictures.grid import Pictures, grid, to_pillow
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures

THUMBNAIL = 128
QUICK = 1  # zlib level: speed matters more than size


def tile_images(
    model: Model, moment: Tiles, view: View, finished: Tensor | None = None
) -> Pictures:
    """The tiles as shown, uint8 (B, H, W or 2 W, C); held pixels are those of the picture in every view.

    Args:
        finished: the finished pictures, uint8 (B, C, H, W); None: z is shown in their place.
    """
    z = moment.pictures
    if view.show == "finished":
        parts = [z if finished is None else finished]
    elif view.show == "z":
        parts = [z]
    else:
        x = torch.where(moment.repaint, model.pixels.to_uint8(moment.x).cpu(), z)
        parts = [x] if view.show == "x" else [x, z]
    if view.rescale:
        parts = [_stretched(part) for part in parts]
    return as_pictures(torch.cat(parts, 3))


def sprite(model: Model, moment: Tiles, view: View, finished: Tensor | None = None) -> bytes:
    """A PNG of the tiles, one below the other; arguments as of `tile_images`."""
    shown = tile_images(model, moment, view, finished)
    return png_bytes(shown.reshape(-1, *shown.shape[2:]), compress_level=QUICK)


def thumbnail(moment: Tiles) -> bytes:
    """A PNG of all tiles as a grid, at most `THUMBNAIL` pixels wide and high."""
    small = to_pillow(grid(as_pictures(moment.pictures)))
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    shown = np.asarray(small)
    return png_bytes(shown.reshape(*shown.shape[:2], -1))


def state_fields(state: ExplorerState) -> messages.StateFields:
    """The fields that the head of every frame has."""
    moment = state.moment
    return {
        "version": moment.version,
        "step": moment.step,
        "batch": len(moment),
        "level": moment.noise_level,
        "annealing": len(moment.ahead),
        "running": state.running,
        "seed": moment.seed,
        "change": moment.change,
        "picked": moment.picked,
        "locked": [tile for tile, locked in enumerate(moment.locked) if locked],
        "masked": moment.masked,
        "held": None if moment.held is None else {"side": moment.held.side},
        "tile_levels": list(moment.levels),
        "choosing": moment.offered == moment.version,
        "choices": len(state.choices),
        "can_undo": state.history.can_undo,
        "can_redo": state.history.can_redo,
        "recording": _recording_fields(state.recording),
    }


def _recording_fields(recording: Recording | None) -> messages.Recorded | None:
    return None if recording is None else {"frames": len(recording.frames), "on": recording.on}


def history_fields(history: History, version: int) -> messages.History:
    """The film strip: the position of the present, the entries, oldest first, and the branches."""
    return {
        "version": version,
        "position": len(history.past),
        "entries": list(map(_entry_fields, history.entries)),
        "branches": [
            {"root": branch.root, "entries": list(map(_entry_fields, branch.entries))}
            for branch in history.branches
        ],
    }


def _entry_fields(entry: Entry) -> messages.Entry:
    return {
        "id": entry.moment.version,
        "action": entry.moment.labelled,
        "label": entry.moment.label,
        "step": entry.moment.step,
        "level": entry.moment.noise_level,
        "automatic": entry.automatic,
    }


def shelf_fields(state: ExplorerState, version: int) -> messages.Shelf:
    """The pictures on the shelf, in order."""
    return {
        "version": version,
        "items": [
            {
                "id": kept.item,
                "name": name_of(kept),
                "tile": kept.tile,
                "step": kept.step,
                "level": kept.level,
            }
            for kept in state.shelf
        ],
        "removed": len(state.removed),
        "removed_items": [kept.item for kept in state.removed],
    }


def mask_fields(moment: Tiles, version: int) -> messages.Masks:
    """The mask of each masked tile."""
    tiles = {str(tile): pace_text(moment.pace[tile]) for tile in moment.masked}
    return {"version": version, "tiles": tiles}


def _stretched(pictures: Tensor) -> Tensor:
    flat = pictures.flatten(1).float()
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    stretched = (flat - low) * (255 / (high - low).clamp(min=1))
    return stretched.round().to(torch.uint8).view_as(pictures)

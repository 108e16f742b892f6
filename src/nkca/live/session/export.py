"""Files made from a session: PNGs with their settings, a zip, an animation."""

import io
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict

from nkca.errors import InputError
from nkca.live.chains.recording import Recording
from nkca.live.chains.state import Kept, kept_from
from nkca.live.chains.tiles import Tiles
from nkca.live.session.file import Origin, Session, to_json
from nkca.pictures.animation import animation_frame, save_animation
from nkca.pictures.grid import Pictures, contact_sheet, grid
from nkca.pictures.png import png_bytes
from nkca.pixels import Pixels, as_pictures
from nkca.version import __version__

MAX_ANIMATION_PIXELS = 1 << 26  # of all frames together
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that equal shelves give equal files


def kept_png(origin: Origin, kept: Kept, pixels: Pixels | None = None) -> bytes:
    """The PNG of a kept picture, with its settings; ``pixels`` see `nkca.pictures.png.save_png`."""
    return _png(origin, kept, {"kept": kept.item}, pixels)


def shelf_grid(shelf: Sequence[Kept]) -> bytes:
    """All pictures of the shelf, of which there must be at least one, in one PNG."""
    return png_bytes(contact_sheet(np.stack([_picture(kept) for kept in shelf])))


def shelf_zip(session: Session, shelf: Sequence[Kept], pixels: Pixels | None = None) -> bytes:
    """A zip with the pictures of the shelf and the session file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in shelf_files(session.origin, shelf, pixels):
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content)
        archive.writestr(zipfile.ZipInfo("session.json", ZIP_TIME), to_json(session))
    return file.getvalue()


def shelf_files(
    origin: Origin, shelf: Sequence[Kept], pixels: Pixels | None = None
) -> Iterator[tuple[str, bytes]]:
    """File name and PNG of each kept picture."""
    for kept in shelf:
        yield f"{name_of(kept)}.png", kept_png(origin, kept, pixels)


def tile_files(
    origin: Origin, moment: Tiles, pixels: Pixels | None = None
) -> Iterator[tuple[str, bytes]]:
    """File name and PNG of each tile."""
    for tile in range(len(moment)):
        yield f"tile_{tile + 1:04d}.png", _png(origin, kept_from(moment, tile), {}, pixels)


def tile_grid(moment: Tiles) -> bytes:
    """All tiles in one PNG."""
    return png_bytes(contact_sheet(as_pictures(moment.pictures)))


@dataclass(frozen=True)
class Cut:
    """What of a recording is wanted: some tiles, from 0, each pixel as ``zoom`` x ``zoom``."""

    tiles: tuple[int, ...]
    zoom: int


def animation(recording: Recording, kind: str, cut: Cut | None = None) -> bytes:
    """The recording, of at least one frame, as "gif", "webp" or "mp4".

    Args:
        cut: None: a contact sheet of the tiles, of as many as fit.

    Raises:
        InputError: if MP4 cannot be encoded here, a tile does not exist or the file would be too large.
    """
    if cut is None:
        frames = [animation_frame(as_pictures(frame)) for frame in recording.frames]
    else:
        frames = _cut(recording, cut)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"recording.{kind}"
        save_animation(path, frames)
        return path.read_bytes()


def _cut(recording: Recording, cut: Cut) -> list[Pictures]:
    count, _, height, width = recording.frames[0].shape
    if not cut.tiles or max(cut.tiles) >= count:
        raise InputError(f"choose tiles from 1 to {count}")
    pixels = len(recording.frames) * len(cut.tiles) * height * width * cut.zoom**2
    if pixels > MAX_ANIMATION_PIXELS:
        raise InputError("the recording would be too large: choose fewer tiles or a smaller size")
    gap = 2 if len(cut.tiles) > 1 else 0
    wanted = [as_pictures(frame[list(cut.tiles)]) for frame in recording.frames]
    return [grid(pictures, gap=gap, zoom=cut.zoom) for pictures in wanted]


def _png(origin: Origin, kept: Kept, more: dict[str, int], pixels: Pixels | None) -> bytes:
    settings: dict[str, Any] = {**asdict(origin), "version": __version__, **more}
    settings |= {"tile": kept.tile, "step": kept.step, "level": kept.level, "seed": kept.seed}
    return png_bytes(_picture(kept), settings, pixels=pixels)


def _picture(kept: Kept) -> Pictures:
    picture: Pictures = as_pictures(kept.picture.unsqueeze(0))[0]
    return picture


def name_of(kept: Kept) -> str:
    """The file name of a kept picture, without suffix."""
    return f"kept_{kept.item:04d}"

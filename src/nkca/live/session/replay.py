"""A session file -> its pictures again: what `nkca-sample --replay` does."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from nkca.live.chains.events import Record
from nkca.live.chains.explorer import Explorer
from nkca.live.session.export import animation, shelf_files, shelf_grid, tile_files, tile_grid
from nkca.live.session.file import Origin, Session, check_model, replay
from nkca.models.model import Model
from nkca.sampling.request import Outputs
from nkca.sampling.sample_files import SampleProgress
from nkca.system.files import atomic_write


def repeat(
    model: Model, origin: Origin, session: Session, outputs: Outputs, directory: Path
) -> Iterator[SampleProgress]:
    """Do a session again and write its shelf and its last tiles; nothing is written before the end.

    Args:
        model: with the lag and precision of the session.
        origin: which model that is; it goes into the PNGs.
        outputs: a grid (of the shelf, or of the tiles if that is empty) and an animation besides.

    Raises:
        InputError: if the session is of another kind of model, or its events cannot be done.
    """
    check_model(session, model)
    explorer = Explorer(model, session.setup)
    if outputs.animation is not None:
        explorer.apply([Record(on=True)])
    for done in replay(explorer, session):
        yield SampleProgress(done, session.steps)
    story = explorer.story
    contents = [*shelf_files(origin, story.shelf), *tile_files(origin, story.moment)]
    if outputs.grid:
        grid = shelf_grid(story.shelf) if story.shelf else tile_grid(story.moment)
        contents.append(("grid.png", grid))
    if outputs.animation is not None and story.recording is not None and story.recording.frames:
        name = f"animation.{outputs.animation}"
        contents.append((name, animation(story.recording, outputs.animation)))
    for name, content in contents:
        with atomic_write(directory / name) as file:
            file.write(content)
    files = tuple(directory / name for name, _ in contents)
    yield SampleProgress(session.steps, session.steps, files)


def origin_here(session: Session, checkpoint: str, sha256: str, device: str) -> Origin:
    """The session's origin if this is the model that made it, else what differs from it."""
    if sha256 == session.origin.checkpoint_sha256:
        return dataclasses.replace(session.origin, device=device)
    return dataclasses.replace(
        session.origin, checkpoint=checkpoint, checkpoint_sha256=sha256, device=device
    )

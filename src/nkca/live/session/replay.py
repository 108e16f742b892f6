"""Replay a session file and write its pictures: `nkca-sample --replay`."""

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from nkca.live.chains.choices import choices_csv
from nkca.live.chains.events import RecordAnimation
from nkca.live.chains.explorer import Explorer
from nkca.live.session.export import animation, shelf_files, shelf_grid, tile_files, tile_grid
from nkca.live.session.file import Origin, Session, check_model, replay
from nkca.models.model import Model
from nkca.sampling.request import Outputs
from nkca.sampling.sample_files import SampleProgress
from nkca.system.files import atomic_write


def replay_to_files(
    model: Model, origin: Origin, session: Session, outputs: Outputs, directory: Path
) -> Iterator[SampleProgress]:
    """Replay a session, then write its shelf and its last tiles; nothing is written before the end.

    Args:
        model: with the lag and precision of the session.
        origin: describes that model in the PNGs.
        outputs: whether to write a grid (of the shelf or, if it is empty, the tiles) and an animation too.

    Raises:
        InputError: if the model does not fit the session, or an event cannot be applied.
    """
    check_model(session, model)
    explorer = Explorer(model, session.setup)
    if outputs.animation is not None:
        explorer.apply([RecordAnimation(on=True)])
    for done in replay(explorer, session):
        yield SampleProgress(done, session.steps)
    state = explorer.state
    contents = [
        *shelf_files(origin, state.shelf, model.pixels),
        *tile_files(origin, state.moment, model.pixels),
    ]
    if outputs.grid:
        grid = shelf_grid(state.shelf) if state.shelf else tile_grid(state.moment)
        contents.append(("grid.png", grid))
    if outputs.animation is not None and state.recording is not None and state.recording.frames:
        name = f"animation.{outputs.animation}"
        contents.append((name, animation(state.recording, outputs.animation)))
    if state.choices:
        contents.append(("choices.csv", choices_csv(state.choices)))
    for name, content in contents:
        with atomic_write(directory / name) as file:
            file.write(content)
    files = tuple(directory / name for name, _ in contents)
    yield SampleProgress(session.steps, session.steps, files)


def replay_origin(session: Session, checkpoint: str, sha256: str, device: str) -> Origin:
    """The session's origin, with the checkpoint and device of this replay where they differ."""
    if sha256 == session.origin.checkpoint_sha256:
        return replace(session.origin, device=device)
    return replace(session.origin, checkpoint=checkpoint, checkpoint_sha256=sha256, device=device)

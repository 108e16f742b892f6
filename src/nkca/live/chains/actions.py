"""What each event does to the state of an explorer: state in, state out.

Only a restart from noise evaluates the denoiser, to compute the pictures that it shows.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nkca.data.categories import reader_for
from nkca.errors import InputError
from nkca.live.chains import arrangements, colour, events, held, masks, shelf, starting, tiles
from nkca.live.chains.choices import choice_of, offer
from nkca.live.chains.exact_image import read_exact_image
from nkca.live.chains.finish import finish, picture_of
from nkca.live.chains.recording import Recording
from nkca.live.chains.state import ExplorerState, labelled
from nkca.live.chains.tiles import Tiles
from nkca.models.model import Model
from nkca.sampling.ladders import LADDERS

DRAG_VERSIONS = 16  # level changes at most so many versions apart are one action, one undo


def act(
    model: Model, images: Tensor | None, state: ExplorerState, event: events.Event
) -> ExplorerState:
    """The state after any event except `MakeSteps`.

    Args:
        images: uint8 (N, C, H, W), the images for a restart from images.

    Raises:
        InputError: if the event cannot be applied.
    """
    for name in ("tile", "other", "source"):
        tile = getattr(event, name, None)
        if isinstance(tile, int) and tile >= len(state.moment):
            raise InputError(f"there are {len(state.moment)} tiles, counted from 0; got {tile}")
    match event:
        case events.RunChains() | events.Pause():
            return dataclasses.replace(state, running=isinstance(event, events.RunChains))
        case events.RecordAnimation():
            return _record(state, event.on)
        case events.Level():
            return _level(model, state, event.level)
        case events.Anneal():
            return _anneal(model, state, event.steps)
        case events.Restart():
            return _restart(model, images, state, event)
        case events.Start():
            return _start(model, state, event)
        case events.Paint():
            return _paint(model, state, event)
        case events.Hold():
            return _hold(model, state, event)
        case events.Colour():
            return _colour(model, state, event)
        case events.Keep():
            return shelf.keep(model, state, event)
        case events.Fan():
            return _fan(model, state, event)
        case events.Mix():
            return _mix(model, state, event)
        case events.Discard():
            return _discard(model, state, event)
        case events.Choose():
            return _choose(model, state, event)
    return _SIMPLE[type(event)](state, event)


def _level(model: Model, state: ExplorerState, level: float) -> ExplorerState:
    if level < model.min_noise:
        raise InputError(f"the noise level must be {model.min_noise:g} to 1, got {level:g}")
    present = state.moment
    moved = dataclasses.replace(present, noise_level=float(level), ahead=())
    label = f"level {level:.2f}"
    same_drag = present.label.startswith("level") and state.history.past
    if same_drag and present.version - present.labelled <= DRAG_VERSIONS:
        return state.moved(labelled(moved, label, present.version + 1))
    return state.acted(moved, label)


def _anneal(model: Model, state: ExplorerState, steps: int) -> ExplorerState:
    low, present = model.min_noise, state.moment
    ladder = LADDERS[model.sampling.ladder]
    path = ladder(max(present.noise_level, low), low, steps)
    moved = dataclasses.replace(present, ahead=tuple(path[1:]))
    label = f"anneal, {steps} step{'s' * (steps > 1)}"
    return dataclasses.replace(state.acted(moved, label), running=True)


def _restart(
    model: Model, images: Tensor | None, state: ExplorerState, event: events.Restart
) -> ExplorerState:
    started = tiles.reseeded(state.moment, event.seed)
    if event.source == "noise":
        started = starting.from_noise(model, started, started.free)
    elif images is None:
        raise InputError("no images were given to restart from")
    else:
        started = starting.from_images(
            model, started, image_per_tile(images, started.free), started.free
        )
    return state.acted(started, f"restart from {event.source}")


def _start(model: Model, state: ExplorerState, event: events.Start) -> ExplorerState:
    present = state.moment
    rows = present.free if event.tile is None else [event.tile]
    image = read_exact_image(event.image, model.data_shape, reader_for(model.pixels))
    moved = starting.from_images(model, present, image_per_tile(image, rows), rows)
    where = "all tiles" if event.tile is None else f"tile {event.tile + 1}"
    return _stopped(state.acted(moved, f"a picture to {where}"))


def _paint(model: Model, state: ExplorerState, event: events.Paint) -> ExplorerState:
    _, height, width = model.data_shape
    pace = masks.parse_pace(event.mask, height, width)
    seen = state.seen(event.seen)
    pictures = seen.pictures.clone()
    pictures[event.tile] = picture_of(model, seen, event.tile, event.finished)
    seen = dataclasses.replace(seen, pictures=pictures)
    as_seen = tiles.copy_tile(state.moment, [event.tile], seen, event.tile)
    return state.acted(
        starting.paint(model, as_seen, event.tile, pace), f"paint on tile {event.tile + 1}"
    )


def _hold(model: Model, state: ExplorerState, event: events.Hold) -> ExplorerState:
    if event.tile is None:
        return state.acted(dataclasses.replace(state.moment, held=None), "hold nothing")
    source = state.seen(event.seen)
    picture = picture_of(model, source, event.tile, event.finished)
    of_picture = held.Held(event.side, picture[None])
    moved = held.hold(model, state.moment, source, event.tile, of_picture)
    what = f"blocks of {event.side} pixels" if event.side else "grey values"
    return state.acted(moved, f"hold {what} of tile {event.tile + 1}")


def _colour(model: Model, state: ExplorerState, event: events.Colour) -> ExplorerState:
    moved = colour.paint_colours(model, state.moment, state.seen(event.seen), event)
    return _stopped(state.acted(moved, f"colour on tile {event.tile + 1}"))


def _choose(model: Model, state: ExplorerState, event: events.Choose) -> ExplorerState:
    present, source = state.moment, state.seen(event.seen)
    if source is present and (choice := choice_of(present, event)) is not None:
        state = dataclasses.replace(state, choices=(*state.choices, choice))
    offered = offer(model, present, source, event.tile, event.steps)
    return _stopped(state.acted(offered, f"choose tile {event.tile + 1}"))


def _fan(model: Model, state: ExplorerState, event: events.Fan) -> ExplorerState:
    source = state.seen(event.seen)
    picture = finish(model, source, [event.tile])[0]
    moved = arrangements.fan(model, state.moment, source, event.tile, picture)
    return _stopped(state.acted(moved, f"fan of tile {event.tile + 1}"))


def _mix(model: Model, state: ExplorerState, event: events.Mix) -> ExplorerState:
    moved = arrangements.mix(model, state.moment, event.tile, event.other)
    return _stopped(state.acted(moved, f"mix tiles {event.tile + 1} and {event.other + 1}"))


def _discard(model: Model, state: ExplorerState, event: events.Discard) -> ExplorerState:
    present, tile = state.moment, event.tile
    rows = [row for row in present.free if (row == tile) != event.rest]
    if event.source is None:
        moved = starting.from_noise(model, present, rows)
    else:
        moved = tiles.copy_tile(present, rows, present, event.source)
    what = f"all but tile {tile + 1}" if event.rest else f"tile {tile + 1}"
    return state.acted(moved, f"discard {what}")


def _stopped(state: ExplorerState) -> ExplorerState:
    return dataclasses.replace(state, running=False)


def _record(state: ExplorerState, on: bool) -> ExplorerState:
    recording = Recording() if on else state.recording and state.recording.ended()
    return dataclasses.replace(state, recording=recording)


def _select(state: ExplorerState, event: events.Select) -> ExplorerState:
    present = dataclasses.replace(state.moment, picked=event.tile)
    return dataclasses.replace(state, recent=(*state.recent[:-1], present))


def _pick(state: ExplorerState, event: events.Pick) -> ExplorerState:
    if event.tile == state.moment.picked:
        return state
    moved = dataclasses.replace(state.moment, picked=event.tile)
    return state.acted(moved, "pick none" if event.tile is None else f"pick tile {event.tile + 1}")


def _spread(state: ExplorerState, event: events.Spread) -> ExplorerState:
    present = state.moment
    moved = tiles.copy_tile(present, present.free, state.seen(event.seen), event.tile)
    return state.acted(moved, f"spread from tile {event.tile + 1}")


def _lock(state: ExplorerState, event: events.Lock) -> ExplorerState:
    moved = state.moment
    if event.locked and not moved.locked[event.tile]:
        moved = tiles.copy_tile(moved, [event.tile], state.seen(event.seen), event.tile)
    name = "lock" if event.locked else "unlock"
    return state.acted(tiles.lock(moved, event.tile, event.locked), f"{name} tile {event.tile + 1}")


def _undo(state: ExplorerState, _: events.Undo) -> ExplorerState:
    return _back(state, *state.history.undo(state.moment))


def _redo(state: ExplorerState, _: events.Redo) -> ExplorerState:
    return _back(state, *state.history.redo(state.moment))


def _jump(state: ExplorerState, event: events.Jump) -> ExplorerState:
    return _back(state, *state.history.jump(state.moment, event.to))


def _back(state: ExplorerState, history: Any, moment: Tiles) -> ExplorerState:
    selected = dataclasses.replace(moment, picked=state.moment.picked)
    return _stopped(dataclasses.replace(state.moved(selected), history=history))


_SIMPLE: dict[type[events.Event], Callable[[ExplorerState, Any], ExplorerState]] = {
    events.Select: _select,
    events.Pick: _pick,
    events.Spread: _spread,
    events.Lock: _lock,
    events.Undo: _undo,
    events.Redo: _redo,
    events.Jump: _jump,
    events.Remove: shelf.remove,
    events.Restore: shelf.restore,
    events.Move: shelf.move,
}


def image_per_tile(images: Tensor, rows: list[int]) -> Tensor:
    """One image for each tile, in turn: (N, C, H, W) -> (len(rows), C, H, W)."""
    return images[torch.tensor([row % len(images) for row in rows], dtype=torch.long)]

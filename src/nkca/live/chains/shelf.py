"""What events do to the shelf, where pictures are kept: state in, state out."""

import dataclasses

from nkca.errors import InputError
from nkca.live.chains import events
from nkca.live.chains.finish import finish
from nkca.live.chains.state import ExplorerState, Kept, kept_from
from nkca.models.model import Model

MAX_KEPT = 1000


def keep(model: Model, state: ExplorerState, event: events.Keep) -> ExplorerState:
    """Put the picture of a tile on the shelf; raises `InputError` if that is full."""
    if len(state.shelf) >= MAX_KEPT:
        raise InputError(f"the shelf is full: it holds {MAX_KEPT} pictures")
    item = 1 + max((kept.item for kept in state.shelf + state.removed), default=0)
    moment = state.seen(event.seen)
    picture = finish(model, moment, [event.tile])[0] if event.finished else None
    kept = kept_from(moment, event.tile, item, picture)
    return dataclasses.replace(state, shelf=(*state.shelf, kept))


def remove(state: ExplorerState, event: events.Remove) -> ExplorerState:
    """Remove a picture; raises `InputError` if it is not on the shelf."""
    kept = _item(state.shelf, event.item, "on the shelf")
    shelf = tuple(other for other in state.shelf if other is not kept)
    return dataclasses.replace(state, shelf=shelf, removed=(*state.removed, kept)[-MAX_KEPT:])


def restore(state: ExplorerState, event: events.Restore) -> ExplorerState:
    """Put a removed picture back; raises `InputError` if there is none or no room."""
    kept = _item(state.removed, event.item, "among the removed pictures")
    if len(state.shelf) >= MAX_KEPT:
        raise InputError(f"the shelf is full: it holds {MAX_KEPT} pictures")
    removed = tuple(other for other in state.removed if other is not kept)
    return dataclasses.replace(state, shelf=(*state.shelf, kept), removed=removed)


def move(state: ExplorerState, event: events.Move) -> ExplorerState:
    """Move a picture to another place; raises `InputError` if it is not on the shelf."""
    kept = _item(state.shelf, event.item, "on the shelf")
    shelf = [other for other in state.shelf if other is not kept]
    shelf.insert(event.to, kept)
    return dataclasses.replace(state, shelf=tuple(shelf))


def _item(shelf: tuple[Kept, ...], item: int, where: str) -> Kept:
    for kept in shelf:
        if kept.item == item:
            return kept
    raise InputError(f"there is no picture {item} {where}")

"""What a user can do to the chains: one set of events for the page, the session file and tests.

As JSON an event is ``{"do": name, field: value, ...}`` with no other field than its own; one that has a
default may be left off. Tiles count from 0. ``seen`` is the version of the frame that the user was
looking at; null is the newest. A mask is base64 of its bits, row by row, the first pixel in the highest
bit, or of a byte for each pixel: how much of a step it makes, in 255ths.

The classes are schemas: `nkca.live.chains.decoding` checks their types and bounds, and
``docs/make_schemas.py`` makes the page's types and ``docs/session-file.md`` of them.
"""

import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

MAX_SEED = 2**53 - 1  # the largest integer that JavaScript represents exactly
MAX_TIMES = 64
MAX_ANNEAL = 10_000
MAX_TEXT = 1 << 25  # letters of a mask or picture in base64
MAX_COUNT = 2**31 - 1

Count: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Tile: TypeAlias = Count
Seen: TypeAlias = Count
Item: TypeAlias = Count
Base64: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT)]
Seed: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_SEED)]


class Event(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", gc=False):
    """Something that a user does to the chains."""

    recorded: ClassVar[bool] = True  # whether the session file contains it


class RunChains(Event, frozen=True, tag="run"):
    """Step repeatedly until paused."""

    recorded = False


class Pause(Event, frozen=True, tag="pause"):
    """Stop stepping."""

    recorded = False


class MakeSteps(Event, frozen=True, tag="step"):
    """Make ``times`` Markov steps of all unlocked tiles, or of ``only`` one."""

    times: Annotated[int, Meta(ge=1, le=MAX_TIMES)]
    only: Tile | None = None


class Level(Event, frozen=True, tag="level"):
    """Set the noise level, effective from the next step."""

    level: Annotated[float, Meta(ge=0, le=1)]


class Anneal(Event, frozen=True, tag="anneal"):
    """Lower the level linearly to the lowest in the next ``steps`` steps, then pause."""

    steps: Annotated[int, Meta(ge=1, le=MAX_ANNEAL)]


class Select(Event, frozen=True, tag="select"):
    """Select a tile, or none: no action that can be undone, and no noise depends on it."""

    tile: Tile | None


class Pick(Event, frozen=True, tag="pick"):
    """Select a tile, or none, as an action that can be undone: in session files of schema 1."""

    tile: Tile | None


class Spread(Event, frozen=True, tag="spread"):
    """Copy a tile to all other unlocked tiles; each continues with its own noise."""

    tile: Tile
    seen: Seen | None = None


class Choose(Event, frozen=True, tag="choose"):
    """Offer a tile among proposals that are made from it, see `nkca.live.chains.choices`.

    Where the present tiles are such an offer, this is a choice among them, and makes the next one.

    Args:
        steps: of the walk to the proposals' common origin, and from there to each of them.
        milliseconds: how long the choice took.
    """

    tile: Tile
    steps: Annotated[int, Meta(ge=1, le=MAX_TIMES)] = 4
    seen: Seen | None = None
    milliseconds: Count | None = None


class Fan(Event, frozen=True, tag="fan"):
    """Show variants of a tile at rising levels on all unlocked tiles."""

    tile: Tile
    seen: Seen | None = None


class Mix(Event, frozen=True, tag="mix"):
    """Show mixtures on all unlocked tiles, from one tile to another."""

    tile: Tile
    other: Tile


class Discard(Event, frozen=True, tag="discard"):
    """Start a tile, or with ``rest`` all other unlocked ones, again from noise, or from ``source``."""

    tile: Tile
    rest: bool = False
    source: Tile | None = None


class Lock(Event, frozen=True, tag="lock"):
    """Lock a tile as it was seen, so that steps do not change it, or unlock it."""

    tile: Tile
    locked: bool
    seen: Seen | None = None


class Paint(Event, frozen=True, tag="paint"):
    """Let the marked pixels of a tile change and hold the others; if none or all are marked, hold none.

    Args:
        mask: which pixels change, and with bytes how much of a step each of them makes.
        finished: hold pixels of the finished picture, not of the denoised one.
    """

    tile: Tile
    mask: Base64
    seen: Seen | None = None
    finished: bool = False


class Hold(Event, frozen=True, tag="hold"):
    """Start all unlocked tiles from one, and hold what they have in common with it, or hold it no longer.

    Args:
        tile: null: hold nothing from now on; tiles go on as they are.
        side: of the blocks of pixels whose means are held; 0: grey values are.
        finished: of the finished picture, not of the denoised one.
    """

    tile: Tile | None
    side: Annotated[int, Meta(ge=0, le=MAX_COUNT)] = 0
    seen: Seen | None = None
    finished: bool = False


class Colour(Event, frozen=True, tag="colour"):
    """Paint colours on a tile and noise it to a level, from which the chain makes them real.

    Args:
        mask: which pixels are painted.
        image: their colours, a base64 PNG of the model's size.
        everywhere: on all unlocked tiles, each with noise of its own.
        finished: paint on the finished picture, not on the denoised one.
    """

    tile: Tile
    mask: Base64
    image: Base64
    level: Annotated[float, Meta(ge=0, le=1)]
    everywhere: bool = False
    seen: Seen | None = None
    finished: bool = False


class Start(Event, frozen=True, tag="start"):
    """Start a tile, or all unlocked ones, from a picture: a base64 PNG of the model's size."""

    tile: Tile | None
    image: Base64


class Restart(Event, frozen=True, tag="restart"):
    """Restart all unlocked tiles from noise or from the given images."""

    source: Literal["noise", "images"]
    seed: Seed


class Undo(Event, frozen=True, tag="undo"):
    """Return to the moment before the last action."""


class Redo(Event, frozen=True, tag="redo"):
    """Revert the last undo."""


class Jump(Event, frozen=True, tag="jump"):
    """Go to any entry of the history."""

    to: Count


class Keep(Event, frozen=True, tag="keep"):
    """Put the picture of a tile, as it was seen, on the shelf.

    Args:
        finished: the finished picture (`nkca.live.chains.finish`), not the denoised one.
    """

    tile: Tile
    seen: Seen | None = None
    finished: bool = False


class Remove(Event, frozen=True, tag="remove"):
    """Remove a picture from the shelf."""

    item: Item


class Restore(Event, frozen=True, tag="restore"):
    """Put a removed picture back, at the end of the shelf."""

    item: Item


class Move(Event, frozen=True, tag="move"):
    """Move a picture to another place on the shelf."""

    item: Item
    to: Count


class RecordAnimation(Event, frozen=True, tag="record"):
    """Begin a new recording of the tiles as an animation, or end it."""

    recorded = False
    on: bool


class Stop(Event, frozen=True, tag="stop"):
    """Stop the replay of a session at the current step."""

    recorded = False


EVENTS: Mapping[str, type[Event]] = {
    str(k.__struct_config__.tag): k for k in Event.__subclasses__()
}

if TYPE_CHECKING:
    AnyEvent: TypeAlias = Event
else:
    AnyEvent = functools.reduce(operator.or_, EVENTS.values())

"""What a user can do to the chains: one set of events for the page, the session file and tests.

As JSON an event is ``{"do": name, field: value, ...}`` with exactly the fields of its class; ``name`` is
the class attribute, so a class can be renamed without changing files. Tiles count from 0. ``seen`` is
the version of the frame that the user was looking at; None is the newest. Masks are text as in
`nkca.live.chains.masks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

MAX_SEED = 2**53 - 1  # the largest integer that JavaScript represents exactly
MAX_TIMES = 64
MAX_ANNEAL = 10_000
MAX_TEXT = 1 << 25  # letters of a mask or picture in base64
MAX_COUNT = 2**31 - 1


@dataclass(frozen=True)
class Within:
    """The range of a number, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class OneOf:
    """The allowed values of a text."""

    words: tuple[str, ...]


Tile: TypeAlias = Annotated[int, Within(0, MAX_COUNT)]
Seen: TypeAlias = Annotated[int, Within(0, MAX_COUNT)]
Item: TypeAlias = Annotated[int, Within(0, MAX_COUNT)]


@dataclass(frozen=True)
class Event:
    """Something that a user does to the chains."""

    name: ClassVar[str]
    recorded: ClassVar[bool] = True  # whether the session file contains it


@dataclass(frozen=True)
class RunChains(Event):
    """Step repeatedly until paused."""

    name = "run"
    recorded = False


@dataclass(frozen=True)
class Pause(Event):
    """Stop stepping."""

    name = "pause"
    recorded = False


@dataclass(frozen=True)
class MakeSteps(Event):
    """Make ``times`` Markov steps of all unlocked tiles, or of ``only`` one."""

    name = "step"
    times: Annotated[int, Within(1, MAX_TIMES)]
    only: Tile | None = None


@dataclass(frozen=True)
class Level(Event):
    """Set the noise level, effective from the next step."""

    name = "level"
    level: Annotated[float, Within(0, 1)]


@dataclass(frozen=True)
class Anneal(Event):
    """Lower the level linearly to the lowest in the next ``steps`` steps, then pause."""

    name = "anneal"
    steps: Annotated[int, Within(1, MAX_ANNEAL)]


@dataclass(frozen=True)
class Select(Event):
    """Select a tile, or none: no action that can be undone, and no noise depends on it."""

    name = "select"
    tile: Tile | None


@dataclass(frozen=True)
class Pick(Event):
    """Select a tile, or none, as an action that can be undone: in session files of schema 1."""

    name = "pick"
    tile: Tile | None


@dataclass(frozen=True)
class Spread(Event):
    """Copy a tile to all other unlocked tiles; each continues with its own noise."""

    name = "spread"
    tile: Tile
    seen: Seen | None = None


@dataclass(frozen=True)
class Choose(Event):
    """Offer a tile among proposals that are made from it, see `nkca.live.chains.choices`.

    Where the present tiles are such an offer, this is a choice among them, and makes the next one.

    Args:
        steps: of the walk to the proposals' common origin, and from there to each of them.
        milliseconds: how long the choice took.
    """

    name = "choose"
    tile: Tile
    steps: Annotated[int, Within(1, MAX_TIMES)] = 4
    seen: Seen | None = None
    milliseconds: Annotated[int, Within(0, MAX_COUNT)] | None = None


@dataclass(frozen=True)
class Fan(Event):
    """Show variants of a tile at rising levels on all unlocked tiles."""

    name = "fan"
    tile: Tile
    seen: Seen | None = None


@dataclass(frozen=True)
class Mix(Event):
    """Show mixtures on all unlocked tiles, from one tile to another."""

    name = "mix"
    tile: Tile
    other: Tile


@dataclass(frozen=True)
class Discard(Event):
    """Start a tile, or with ``rest`` all other unlocked ones, again from noise, or from ``source``."""

    name = "discard"
    tile: Tile
    rest: bool = False
    source: Tile | None = None


@dataclass(frozen=True)
class Lock(Event):
    """Lock a tile as it was seen, so that steps do not change it, or unlock it."""

    name = "lock"
    tile: Tile
    locked: bool
    seen: Seen | None = None


@dataclass(frozen=True)
class Paint(Event):
    """Let the marked pixels of a tile change and hold the others; if none or all are marked, hold none.

    Args:
        mask: which pixels change, and with bytes how much of a step each of them makes.
        finished: hold pixels of the finished picture, not of the denoised one.
    """

    name = "paint"
    tile: Tile
    mask: str
    seen: Seen | None = None
    finished: bool = False


@dataclass(frozen=True)
class Colour(Event):
    """Paint colours on a tile and noise it to a level, from which the chain makes them real.

    Args:
        mask: which pixels are painted.
        image: their colours, a base64 PNG of the model's size.
        everywhere: on all unlocked tiles, each with noise of its own.
        finished: paint on the finished picture, not on the denoised one.
    """

    name = "colour"
    tile: Tile
    mask: str
    image: str
    level: Annotated[float, Within(0, 1)]
    everywhere: bool = False
    seen: Seen | None = None
    finished: bool = False


@dataclass(frozen=True)
class Start(Event):
    """Start a tile, or all unlocked ones, from a picture: a base64 PNG of the model's size."""

    name = "start"
    tile: Tile | None
    image: str


@dataclass(frozen=True)
class Restart(Event):
    """Restart all unlocked tiles from noise or from the given images."""

    name = "restart"
    source: Annotated[str, OneOf(("noise", "images"))]
    seed: Annotated[int, Within(0, MAX_SEED)]


@dataclass(frozen=True)
class Undo(Event):
    """Return to the moment before the last action."""

    name = "undo"


@dataclass(frozen=True)
class Redo(Event):
    """Revert the last undo."""

    name = "redo"


@dataclass(frozen=True)
class Jump(Event):
    """Go to any entry of the history."""

    name = "jump"
    to: Annotated[int, Within(0, MAX_COUNT)]


@dataclass(frozen=True)
class Keep(Event):
    """Put the picture of a tile, as it was seen, on the shelf.

    Args:
        finished: the finished picture (`nkca.live.chains.finish`), not the denoised one.
    """

    name = "keep"
    tile: Tile
    seen: Seen | None = None
    finished: bool = False


@dataclass(frozen=True)
class Remove(Event):
    """Remove a picture from the shelf."""

    name = "remove"
    item: Item


@dataclass(frozen=True)
class Restore(Event):
    """Put a removed picture back, at the end of the shelf."""

    name = "restore"
    item: Item


@dataclass(frozen=True)
class Move(Event):
    """Move a picture to another place on the shelf."""

    name = "move"
    item: Item
    to: Annotated[int, Within(0, MAX_COUNT)]


@dataclass(frozen=True)
class RecordAnimation(Event):
    """Begin a new recording of the tiles as an animation, or end it."""

    name = "record"
    recorded = False
    on: bool


@dataclass(frozen=True)
class Stop(Event):
    """Stop the replay of a session at the current step."""

    name = "stop"
    recorded = False


EVENTS: Mapping[str, type[Event]] = {kind.name: kind for kind in Event.__subclasses__()}

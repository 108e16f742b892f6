"""What a person can do to the chains: one vocabulary for the page, the session file and tests.

As JSON an event is ``{"do": its name, field: value, ...}``; nothing else is accepted, and nothing less.
Tiles count from 0. ``seen`` is the version of the frame that the person was looking at; None is the
newest. Masks are bits, row by row, the first pixel in the highest bit, as base64.
"""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, TypeAlias

from nkca.errors import InputError, nearest

MAX_SEED = 2**53 - 1  # what a number in JavaScript holds
MAX_TIMES = 64
MAX_ANNEAL = 10_000
MAX_TEXT = 1 << 25  # of a mask or picture in base64


COUNT = 2**31 - 1


@dataclass(frozen=True)
class Within:
    """What a number must be."""

    low: float
    high: float


@dataclass(frozen=True)
class OneOf:
    """What a text must be."""

    words: tuple[str, ...]


Tile: TypeAlias = Annotated[int, Within(0, COUNT)]
Seen: TypeAlias = Annotated[int, Within(0, COUNT)]
Item: TypeAlias = Annotated[int, Within(0, COUNT)]


@dataclass(frozen=True)
class Event:
    """Something done to the chains."""

    name: ClassVar[str]
    recorded: ClassVar[bool] = True  # in the session file


@dataclass(frozen=True)
class Run(Event):
    """Go on stepping."""

    name = "run"
    recorded = False


@dataclass(frozen=True)
class Pause(Event):
    """Stop stepping."""

    name = "pause"
    recorded = False


@dataclass(frozen=True)
class Step(Event):
    """Make ``times`` Markov steps."""

    name = "step"
    times: Annotated[int, Within(1, MAX_TIMES)]


@dataclass(frozen=True)
class Level(Event):
    """Set the noise level from the next step on."""

    name = "level"
    level: Annotated[float, Within(0, 1)]


@dataclass(frozen=True)
class Anneal(Event):
    """Lower the level linearly to the lowest in the next ``steps`` steps, then pause."""

    name = "anneal"
    steps: Annotated[int, Within(1, MAX_ANNEAL)]


@dataclass(frozen=True)
class Pick(Event):
    """Select a tile, or none."""

    name = "pick"
    tile: Tile | None


@dataclass(frozen=True)
class Spread(Event):
    """Let all other unlocked tiles continue from this one, each with its own noise."""

    name = "spread"
    tile: Tile
    seen: Seen | None = None


@dataclass(frozen=True)
class Lock(Event):
    """Leave a tile alone, as it was seen, or set it free."""

    name = "lock"
    tile: Tile
    locked: bool
    seen: Seen | None = None


@dataclass(frozen=True)
class Paint(Event):
    """Repaint the marked pixels of a tile and hold the others; no mark, or all: the whole tile walks."""

    name = "paint"
    tile: Tile
    mask: str
    seen: Seen | None = None


@dataclass(frozen=True)
class Start(Event):
    """Start a tile, or all unlocked ones, from a picture: a PNG of the model's size in base64."""

    name = "start"
    tile: Tile | None
    image: str


@dataclass(frozen=True)
class Restart(Event):
    """Start all unlocked tiles anew, from noise or from the given images."""

    name = "restart"
    source: Annotated[str, OneOf(("noise", "images"))]
    seed: Annotated[int, Within(0, MAX_SEED)]


@dataclass(frozen=True)
class Undo(Event):
    """Go back to before the last action."""

    name = "undo"


@dataclass(frozen=True)
class Redo(Event):
    """Take the last undo back."""

    name = "redo"


@dataclass(frozen=True)
class Jump(Event):
    """Go to an entry of the history, forwards or back."""

    name = "jump"
    to: Annotated[int, Within(0, COUNT)]


@dataclass(frozen=True)
class Keep(Event):
    """Put the picture of a tile, as it was seen, on the shelf."""

    name = "keep"
    tile: Tile
    seen: Seen | None = None


@dataclass(frozen=True)
class Remove(Event):
    """Take a picture off the shelf."""

    name = "remove"
    item: Item


@dataclass(frozen=True)
class Restore(Event):
    """Put a removed picture back, at the end."""

    name = "restore"
    item: Item


@dataclass(frozen=True)
class Move(Event):
    """Give a picture of the shelf another place."""

    name = "move"
    item: Item
    to: Annotated[int, Within(0, COUNT)]


@dataclass(frozen=True)
class Record(Event):
    """Begin a new recording, or end it."""

    name = "record"
    recorded = False
    on: bool


@dataclass(frozen=True)
class Stop(Event):
    """End the replay of a session where it is."""

    name = "stop"
    recorded = False


EVENTS: Mapping[str, type[Event]] = {kind.name: kind for kind in Event.__subclasses__()}
HINTS = {kind: typing.get_type_hints(kind, include_extras=True) for kind in EVENTS.values()}


def parse_event(value: object) -> Event:
    """Make an event of what JSON holds.

    Raises:
        InputError: if it is not exactly one.
    """
    if not isinstance(value, dict):
        raise InputError("an event must be an object")
    given = dict(value)
    name = given.pop("do", None)
    if not isinstance(name, str) or name not in EVENTS:
        raise InputError(f"unknown event '{str(name)[:40]}'{nearest(str(name)[:40], EVENTS)}")
    kind = EVENTS[name]
    known = {f.name: f.default is dataclasses.MISSING for f in dataclasses.fields(kind)}
    for key in given:
        if key not in known:
            close = nearest(str(key)[:40], known)
            raise InputError(f"event {name}: unknown field '{str(key)[:40]}'{close}")
    for key, required in known.items():
        if key in given:
            _check(f"event {name}: '{key}'", HINTS[kind][key], given[key])
        elif required:
            raise InputError(f"event {name}: '{key}' is missing")
    return kind(**given)


def as_json(event: Event) -> dict[str, Any]:
    """The event as `parse_event` reads it."""
    return {"do": event.name, **dataclasses.asdict(event)}


def _check(what: str, hint: Any, value: object) -> None:
    union = typing.get_origin(hint) in (typing.Union, UnionType)
    allowed = [_split(part) for part in (typing.get_args(hint) if union else (hint,))]
    if not any(_fits(kind, rule, value) for kind, rule in allowed):
        expected = " or ".join(_describe(kind, rule) for kind, rule in allowed)
        raise InputError(f"{what} must be {expected}, got {repr(value)[:40]}")


def _split(hint: Any) -> tuple[type, Within | OneOf | None]:
    """The type and the rule of ``Annotated[type, rule]`` or of a plain type."""
    if typing.get_origin(hint) is Annotated:
        kind, rule = typing.get_args(hint)
        return kind, rule
    return hint, None


def _fits(kind: type, rule: Within | OneOf | None, value: object) -> bool:
    if kind is float and type(value) is int:
        kind = int
    if type(value) is not kind:  # so True is no number
        return False
    if isinstance(rule, Within) and isinstance(value, int | float):
        return rule.low <= value <= rule.high  # so NaN is none
    if isinstance(rule, OneOf):
        return value in rule.words
    return not isinstance(value, str) or len(value) <= MAX_TEXT


def _describe(kind: type, rule: Within | OneOf | None) -> str:
    if isinstance(rule, Within):
        number = "a number" if kind is float else "a whole number"
        return f"{number} from {rule.low} to {rule.high}"
    if isinstance(rule, OneOf):
        return " or ".join(rule.words)
    return {bool: "true or false", str: f"text of at most {MAX_TEXT} letters"}.get(kind, "null")

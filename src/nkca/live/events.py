"""What a person can do to the chains: one vocabulary for the page, the session file and tests.

As JSON an event is ``{"do": its name, field: value, ...}``; nothing else is accepted, and nothing less.
Tiles count from 0. ``seen`` is the version of the frame that the person was looking at; None is the
newest. Masks are bits, row by row, the first pixel in the highest bit, as base64.
"""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, ClassVar

from nkca.errors import InputError, nearest

MAX_SEED = 2**53 - 1  # what a number in JavaScript holds
COUNT = 2**31 - 1
MAX_TIMES = 64
MAX_ANNEAL = 10_000
MAX_TEXT = 1 << 25  # of a mask or picture in base64


def bounded(low: float, high: float, default: Any = dataclasses.MISSING) -> Any:
    """A field whose number must lie in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high})


def one_of(*words: str) -> Any:
    """A field whose text must be one of ``words``."""
    return field(metadata={"words": words})


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
    times: int = bounded(1, MAX_TIMES)


@dataclass(frozen=True)
class Level(Event):
    """Set the noise level from the next step on."""

    name = "level"
    level: float = bounded(0, 1)


@dataclass(frozen=True)
class Anneal(Event):
    """Lower the level linearly to the lowest in the next ``steps`` steps, then pause."""

    name = "anneal"
    steps: int = bounded(1, MAX_ANNEAL)


@dataclass(frozen=True)
class Pick(Event):
    """Select a tile, or none."""

    name = "pick"
    tile: int | None = bounded(0, COUNT)


@dataclass(frozen=True)
class Spread(Event):
    """Let all other unlocked tiles continue from this one, each with its own noise."""

    name = "spread"
    tile: int = bounded(0, COUNT)
    seen: int | None = bounded(0, COUNT, None)


@dataclass(frozen=True)
class Lock(Event):
    """Leave a tile alone, as it was seen, or set it free."""

    name = "lock"
    tile: int = bounded(0, COUNT)
    locked: bool = field()
    seen: int | None = bounded(0, COUNT, None)


@dataclass(frozen=True)
class Paint(Event):
    """Repaint the marked pixels of a tile and hold the others; no mark, or all: the whole tile walks."""

    name = "paint"
    tile: int = bounded(0, COUNT)
    mask: str = field()
    seen: int | None = bounded(0, COUNT, None)


@dataclass(frozen=True)
class Start(Event):
    """Start a tile, or all unlocked ones, from a picture: a PNG of the model's size in base64."""

    name = "start"
    tile: int | None = bounded(0, COUNT)
    image: str = field()


@dataclass(frozen=True)
class Restart(Event):
    """Start all unlocked tiles anew, from noise or from the given images."""

    name = "restart"
    source: str = one_of("noise", "images")
    seed: int = bounded(0, MAX_SEED)


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
    to: int = bounded(0, COUNT)


@dataclass(frozen=True)
class Keep(Event):
    """Put the picture of a tile, as it was seen, on the shelf."""

    name = "keep"
    tile: int = bounded(0, COUNT)
    seen: int | None = bounded(0, COUNT, None)


@dataclass(frozen=True)
class Remove(Event):
    """Take a picture off the shelf."""

    name = "remove"
    item: int = bounded(0, COUNT)


@dataclass(frozen=True)
class Restore(Event):
    """Put a removed picture back, at the end."""

    name = "restore"
    item: int = bounded(0, COUNT)


@dataclass(frozen=True)
class Move(Event):
    """Give a picture of the shelf another place."""

    name = "move"
    item: int = bounded(0, COUNT)
    to: int = bounded(0, COUNT)


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
_HINTS = {kind: typing.get_type_hints(kind) for kind in EVENTS.values()}


def parse_event(value: object) -> Event:
    """Make an event of what a JSON file holds.

    Raises:
        InputError: if it is not exactly one.
    """
    if not isinstance(value, dict):
        raise InputError("an event must be an object")
    given = dict(value)
    name = given.pop("do", None)
    if not isinstance(name, str) or name not in EVENTS:
        raise InputError(f"unknown event '{str(name)[:40]}'{nearest(str(name)[:40], EVENTS)}")
    known = {f.name: f for f in dataclasses.fields(EVENTS[name])}
    for key in given:
        if key not in known:
            raise InputError(
                f"event {name}: unknown field '{str(key)[:40]}'{nearest(str(key)[:40], known)}"
            )
    for key, declared in known.items():
        if key in given:
            _check(name, declared, _HINTS[EVENTS[name]][key], given[key])
        elif declared.default is dataclasses.MISSING:
            raise InputError(f"event {name}: '{key}' is missing")
    return EVENTS[name](**given)


def as_json(event: Event) -> dict[str, Any]:
    """The event as `parse_event` reads it."""
    return {"do": event.name, **dataclasses.asdict(event)}


def _check(event: str, declared: "dataclasses.Field[Any]", hint: Any, value: object) -> None:
    kinds = typing.get_args(hint) or (hint,)
    expected = _expected(declared, kinds)
    number = float in kinds and isinstance(value, int) and not isinstance(value, bool)
    fits = number or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)))
    if fits and isinstance(value, str):
        fits = value in declared.metadata.get("words", (value,)) and len(value) <= MAX_TEXT
    if fits and "low" in declared.metadata and isinstance(value, int | float):
        low, high = declared.metadata["low"], declared.metadata["high"]
        fits = low <= value <= high  # so never NaN
    if not fits:
        raise InputError(
            f"event {event}: '{declared.name}' must be {expected}, got {repr(value)[:40]}"
        )


def _expected(declared: "dataclasses.Field[Any]", kinds: tuple[type, ...]) -> str:
    if "words" in declared.metadata:
        return " or ".join(declared.metadata["words"])
    words = {bool: "true or false", str: "text", NoneType: "null"}
    if "low" in declared.metadata:
        what = "a number" if float in kinds else "a whole number"
        words |= dict.fromkeys(
            (int, float), f"{what} from {declared.metadata['low']} to {declared.metadata['high']}"
        )
    return " or ".join(words[kind] for kind in kinds)

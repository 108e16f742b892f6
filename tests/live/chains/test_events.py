"""Parsing of events: valid ones are accepted, all others refused with a reason."""

from typing import Any

import pytest

from nkca.errors import InputError
from nkca.live.chains.event_json import as_json, parse_event
from nkca.live.chains.events import EVENTS, Level, Lock, Pick, Restart, Spread

GOOD: list[dict[str, Any]] = [
    {"do": "run"},
    {"do": "step", "times": 64},
    {"do": "level", "level": 0.37},
    {"do": "level", "level": 1},
    {"do": "anneal", "steps": 10_000},
    {"do": "pick", "tile": None},
    {"do": "spread", "tile": 3, "seen": 41},
    {"do": "choose", "tile": 3, "steps": 2, "seen": 41, "milliseconds": 900},
    {"do": "keep", "tile": 3, "seen": 41, "finished": True},
    {"do": "lock", "tile": 3, "locked": False, "seen": None},
    {"do": "paint", "tile": 0, "mask": "", "seen": 0},
    {"do": "colour", "tile": 3, "mask": "aGk=", "image": "aGk=", "level": 0.3, "everywhere": True},
    {"do": "start", "tile": None, "image": "aGk="},
    {"do": "restart", "source": "images", "seed": 2**53 - 1},
    {"do": "jump", "to": 12},
    {"do": "move", "item": 2, "to": 0},
    {"do": "record", "on": True},
]

BAD: dict[str, tuple[object, str]] = {
    "no object": ([], "must be an object"),
    "no name": ({"tile": 1}, "unknown event 'None'"),
    "close name": ({"do": "spred", "tile": 1}, "did you mean 'spread'"),
    "name of another type": ({"do": ["step"]}, "unknown event"),
    "missing": ({"do": "spread"}, "'tile' is missing"),
    "unknown field": ({"do": "pick", "tyle": 1}, r"unknown field 'tyle' \(did you mean 'tile'"),
    "truth for a number": ({"do": "pick", "tile": True}, "whole number"),
    "number for truth": ({"do": "record", "on": 1}, "true or false"),
    "text for a number": ({"do": "pick", "tile": "1"}, "whole number from 0"),
    "fraction": ({"do": "step", "times": 1.0}, "whole number from 1 to 64"),
    "too often": ({"do": "step", "times": 65}, "from 1 to 64"),
    "negative": ({"do": "pick", "tile": -1}, "from 0"),
    "huge": ({"do": "pick", "tile": 10**400}, "from 0"),
    "not a number": ({"do": "level", "level": float("nan")}, "from 0 to 1"),
    "infinite": ({"do": "level", "level": float("inf")}, "from 0 to 1"),
    "null level": ({"do": "level", "level": None}, "a number from 0 to 1"),
    "other word": ({"do": "restart", "source": "void", "seed": 0}, "noise or images"),
    "unhashable word": ({"do": "restart", "source": ["noise"], "seed": 0}, "noise or images"),
    "seed": ({"do": "restart", "source": "noise", "seed": 2**53}, "from 0 to"),
    "long text": ({"do": "paint", "tile": 0, "mask": "A" * (2**25 + 1)}, "text of at most"),
}


@pytest.mark.parametrize("value", GOOD, ids=str)
def test_events_survive_json(value: dict[str, Any]) -> None:
    event = parse_event(value)
    assert parse_event(as_json(event)) == event
    assert as_json(event).items() >= value.items()


def test_events_have_their_values() -> None:
    assert parse_event({"do": "lock", "tile": 2, "locked": True}) == Lock(2, True, None)
    assert parse_event({"do": "spread", "tile": 2, "seen": 7}) == Spread(2, 7)
    assert parse_event({"do": "restart", "source": "noise", "seed": 3}) == Restart("noise", 3)
    assert parse_event({"do": "pick", "tile": None}) == Pick(None)
    assert parse_event({"do": "level", "level": 0.25}) == Level(0.25)
    assert len(EVENTS) == 26


@pytest.mark.parametrize(("value", "message"), BAD.values(), ids=BAD.keys())
def test_invalid_events_are_refused(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_event(value)
    assert len(str(error.value)) < 200

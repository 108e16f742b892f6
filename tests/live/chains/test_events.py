"""Parsing of events: valid ones are accepted, all others refused with a reason."""

import json
import random
from typing import Any

import msgspec
import pytest

from nkca.errors import InputError
from nkca.live.chains.decoding import EXPLAINED, decode
from nkca.live.chains.events import (
    EVENTS,
    AnyEvent,
    Event,
    Level,
    Lock,
    Pick,
    Restart,
    Spread,
)


class One(msgspec.Struct):
    """A message with an event."""

    events: tuple[AnyEvent]


def parse_event(value: object) -> Event:
    return decode(json.dumps({"events": [value]}).encode(), One).events[0]


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
    {"do": "hold", "tile": 3, "side": 4, "seen": 41, "finished": True},
    {"do": "hold", "tile": None},
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
    "not a number": ({"do": "level", "level": float("nan")}, "not JSON"),
    "infinite": ({"do": "level", "level": float("inf")}, "not JSON"),
    "null level": ({"do": "level", "level": None}, "a number from 0 to 1"),
    "other word": ({"do": "restart", "source": "void", "seed": 0}, "images or noise"),
    "unhashable word": ({"do": "restart", "source": ["noise"], "seed": 0}, "images or noise"),
    "seed": ({"do": "restart", "source": "noise", "seed": 2**53}, "from 0 to"),
    "long text": (
        {"do": "paint", "tile": 0, "mask": "A" * (2**25 + 1)},
        r"length <= 33554432 .*mask",
    ),
}


@pytest.mark.parametrize("value", GOOD, ids=str)
def test_events_survive_json(value: dict[str, Any]) -> None:
    event = parse_event(value)
    assert parse_event(msgspec.to_builtins(event)) == event
    assert msgspec.to_builtins(event).items() >= value.items()


def test_events_have_their_values() -> None:
    assert parse_event({"do": "lock", "tile": 2, "locked": True}) == Lock(2, True, None)
    assert parse_event({"do": "spread", "tile": 2, "seen": 7}) == Spread(2, 7)
    assert parse_event({"do": "restart", "source": "noise", "seed": 3}) == Restart("noise", 3)
    assert parse_event({"do": "pick", "tile": None}) == Pick(None)
    assert parse_event({"do": "level", "level": 0.25}) == Level(0.25)
    assert len(EVENTS) == 27


@pytest.mark.parametrize(("value", "message"), BAD.values(), ids=BAD.keys())
def test_invalid_events_are_refused(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_event(value)
    assert len(str(error.value)) < 200


def test_the_error_names_event_and_field() -> None:
    with pytest.raises(InputError) as error:
        parse_event({"do": "step", "times": 65})
    assert str(error.value) == (
        "event 0, step: 'times' must be a whole number from 1 to 64, got 65"
    )


TWICE = {
    "event": b'{"events": [{"do": "fly"}], "events": []}',
    "name": b'{"events": [{"do": "stop", "tile": true, "do": "pick", "tile": 1}]}',
    "field": b'{"events": [{"do": "pick", "tile": true, "tile": 1}]}',
    "place in a name": b'{"events": [], "x - at `$.events[7].tile`": 1}',
    "place in an event": b'{"events": [{"do": "undo", "x - at `$.events[7].tile`": 1}]}',
}


@pytest.mark.parametrize("content", TWICE.values(), ids=TWICE.keys())
def test_what_misleads_the_explanation_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(InputError) as error:
        decode(content, One)
    assert len(str(error.value).splitlines()) == 1


def test_any_damage_to_a_text_is_refused_in_one_line() -> None:
    """Bytes of a valid text are replaced at random: it is read, or refused."""
    chance, refused = random.Random(1), 0
    content = json.dumps({"events": [{"do": "keep", "tile": 3, "finished": True}]}).encode()
    parts = [
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b'"',
        b"1",
        b"-",
        b"e9",
        b"null",
        b"\xff",
        b"\\ud800",
        b"`$.x",
    ]
    for _ in range(5000):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 4)] = chance.choice(parts)
        try:
            decode(bytes(damaged), One)
        except InputError as error:
            refused += 1
            assert len(str(error)) < 300
    assert refused > 4000


def test_a_large_text_is_refused_without_a_second_reading() -> None:
    with pytest.raises(InputError, match=r"Expected `object`, got `array` - at `\$.events\[0\]`"):
        decode(b'{"events": [' + b"[]," * EXPLAINED + b"[]]}", One)

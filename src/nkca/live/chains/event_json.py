"""Events as JSON: parsed with every field checked, and written."""

import dataclasses
import typing
from types import UnionType
from typing import Annotated, Any

from nkca.errors import InputError, nearest
from nkca.live.chains.events import EVENTS, MAX_TEXT, Event, OneOf, Within

HINTS = {kind: typing.get_type_hints(kind, include_extras=True) for kind in EVENTS.values()}


def parse_event(value: object) -> Event:
    """Parse an event from a JSON value.

    Raises:
        InputError: if a field is unknown, missing or invalid.
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
    """The event as a JSON value that `parse_event` accepts."""
    return {"do": event.name, **dataclasses.asdict(event)}


def _check(what: str, hint: Any, value: object) -> None:
    union = typing.get_origin(hint) in (typing.Union, UnionType)
    allowed = [_split(part) for part in (typing.get_args(hint) if union else (hint,))]
    if not any(_fits(kind, rule, value) for kind, rule in allowed):
        expected = " or ".join(_expected_text(kind, rule) for kind, rule in allowed)
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
    if type(value) is not kind:  # a bool is not accepted as a number
        return False
    if isinstance(rule, Within) and isinstance(value, int | float):
        return rule.low <= value <= rule.high  # False for NaN
    if isinstance(rule, OneOf):
        return value in rule.words
    return not isinstance(value, str) or len(value) <= MAX_TEXT


def _expected_text(kind: type, rule: Within | OneOf | None) -> str:
    if isinstance(rule, Within):
        number = "a number" if kind is float else "a whole number"
        return f"{number} from {rule.low} to {rule.high}"
    if isinstance(rule, OneOf):
        return " or ".join(rule.words)
    return {bool: "true or false", str: f"text of at most {MAX_TEXT} letters"}.get(kind, "null")

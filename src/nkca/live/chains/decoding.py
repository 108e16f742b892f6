"""JSON that is checked by a schema, a `msgspec.Struct`, while it is read: what is wrong is one line."""

import contextlib
import json
import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from nkca.errors import InputError, nearest
from nkca.live.chains.events import EVENTS

T = TypeVar("T", bound=msgspec.Struct)
EXPLAINED = 1 << 20  # bytes; of a larger text only the schema's own objection is told
PLACE = re.compile(r"`\$(?:\.events\[(\d+)\])?(?:\.(\w+))?\S*`$")  # `$.events[3].tile`


class NotJSONError(InputError):
    """The text is no JSON, whatever its schema."""


def decode(content: bytes, kind: type[T]) -> T:
    """The value of JSON in UTF-8. Its events, if it has any, are its field ``events``.

    Raises:
        NotJSONError: if it is not JSON, which has no NaN and no infinity, or too deeply nested.
        InputError: if a field is unknown, missing, of another type or out of its range.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        objection = str(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJSONError(f"not JSON: {error}") from None
    if len(content) <= EXPLAINED:
        # Not where it is malformed further on, or has a second field of the same name, which Python reads.
        with contextlib.suppress(LookupError, TypeError, ValueError, RecursionError):
            objection = _explained(json.loads(content), kind, objection)
    raise InputError(objection)


def words(kind: inspect.Type) -> str:
    """What is expected, as a sentence goes on after "must be"."""
    match kind:
        case inspect.Metadata(type=inner):
            return words(inner)
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(ge=low, le=high, lt=None):
            return f"a number from {low:g} to {high:g}"
        case inspect.FloatType(ge=low, lt=high):
            return f"a number from {low:g} to less than {high:g}"
        case inspect.StrType(max_length=letters):
            return f"text of at most {letters} letters"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return " or ".join(map(str, values))
        case inspect.UnionType(types=kinds):
            return " or ".join(map(words, kinds))
        case inspect.VarTupleType(item_type=inspect.UnionType(), max_length=count):
            return f"a list of at most {count} events"
        case inspect.VarTupleType(item_type=item, max_length=count):
            return f"a list of at most {count}, each {words(item)}"
        case inspect.TupleType(item_types=kinds):
            return f"[{', '.join(map(words, kinds))}]"
        case inspect.DictType(key_type=key, value_type=value):
            return f"an object of {words(key)}, each {words(value)}"
        case _:
            return "null"


def _explained(value: Any, kind: type[msgspec.Struct], objection: str) -> str:
    """What is wrong, with the name that was perhaps meant and the value that was given."""
    place = PLACE.search(objection)
    number, name = place.groups() if place else (None, None)
    wrong, where = _wrong_fields(value, kind), ""
    if wrong is None and number is not None:
        value, where = value["events"][int(number)], f"event {number}: "
        if isinstance(value, dict):
            named = str(value.get("do"))[:40]
            if named not in EVENTS:
                return f"{where}unknown event '{named}'{nearest(named, EVENTS)}"
            kind, where = EVENTS[named], f"event {number}, {named}: "
        wrong = _wrong_fields(value, kind)
    if wrong is not None:
        return where + wrong
    if name is None:
        return objection
    expected = words(inspect.type_info(_fields(kind)[name].type))
    return f"{where}'{name}' must be {expected}, got {repr(value[name])[:40]}"


def _wrong_fields(value: Any, kind: type[msgspec.Struct]) -> str | None:
    """Which field is unknown or missing; None: none is."""
    if not isinstance(value, dict):
        return "must be an object"
    fields, tag = _fields(kind), kind.__struct_config__.tag_field
    for name in value:
        if name not in fields and name != tag:
            return f"unknown field '{name[:40]}'{nearest(name[:40], fields)}"
    missing = [name for name, field in fields.items() if field.required and name not in value]
    return f"'{missing[0]}' is missing" if missing else None


def _fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(kind)}

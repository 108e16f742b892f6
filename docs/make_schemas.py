"""The page's types and docs/session-file.md, made from the schemas of events, messages and session files.

python docs/make_schemas.py            writes both
python docs/make_schemas.py --check    exits with 1 if one is not up to date
"""

import json
import re
import sys
from collections.abc import Iterator
from inspect import getdoc

import msgspec
from make_map import PACKAGE, ROOT, write_or_check
from msgspec import inspect

from nkca.live.chains import discrimination, events
from nkca.live.chains.decoding import words
from nkca.live.session.file import FORMAT, SessionFile
from nkca.live.web import messages

TYPES, PAGE = PACKAGE / "live" / "static" / "types.js", ROOT / "docs" / "session-file.md"
SHOW = inspect.type_info(messages.Show)
MESSAGES = (
    *(
        messages.Entry,
        messages.Branch,
        messages.Kept,
        messages.History,
        messages.Shelf,
        messages.Masks,
        messages.Held,
    ),
    *(messages.Replaying, messages.Recorded, messages.Head, messages.About, messages.Turn),
    *(messages.NewTest, discrimination.Answer),
    *(discrimination.Answered, discrimination.TestResult),
)
HEAD = """# The session file

`nkca-interactive` writes it ("Save session", and by itself once a picture is kept), `--session` opens it,
`nkca-sample --replay` repeats it: JSON in UTF-8, one object with the fields below. Old files stay readable;
a file with any other field, or of a newer schema, is refused. Made from the schemas by `make map`.

"""
EVENTS = """
## Events

{about} No whole number is larger than {most}.
An event that is in no session is only sent by the page.

| `do` | fields | what it does |
|---|---|---|
"""


def described(kind: type) -> tuple[str, dict[str, str]]:
    """The docstring of a type without its arguments, on one line, and what it says of each of them."""
    text, _, arguments = (getdoc(kind) or "").partition("\n\nArgs:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", arguments, re.MULTILINE)
    return one_line(text), {name: one_line(said) for name, said in found}


def one_line(text: str) -> str:
    """A text with the marks of Markdown, without line breaks."""
    return " ".join(text.replace("``", "`").split())


def typescript(kind: inspect.Type) -> str:
    """A type as TypeScript names it."""
    match kind:
        case inspect.Metadata(type=inner):
            return typescript(inner)
        case inspect.IntType() | inspect.FloatType():
            return "number"
        case inspect.StrType():
            return "string"
        case inspect.BoolType():
            return "boolean"
        case inspect.LiteralType(values=values):
            return "Show" if kind == SHOW else " | ".join(map(json.dumps, values))
        case inspect.UnionType(types=[inspect.StructType(), *_]):
            return "ChainEvent"
        case inspect.UnionType(types=kinds):
            return " | ".join(map(typescript, kinds))
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return f"{typescript(item)}[]"
        case inspect.TupleType(item_types=items):
            return f"[{', '.join(map(typescript, items))}]"
        case inspect.DictType(key_type=key, value_type=value):
            return f"Record<{typescript(key)}, {typescript(value)}>"
        case inspect.StructType(cls=cls) | inspect.TypedDictType(cls=cls):
            return cls.__name__
        case _:
            return "null"


def typedef(kind: type) -> Iterator[str]:
    """The lines of JSDoc that declare an object."""
    schema, (text, said) = inspect.type_info(kind), described(kind)
    assert isinstance(schema, inspect.StructType | inspect.TypedDictType)
    yield f"@typedef {{object}} {kind.__name__} {text}"
    if isinstance(schema, inspect.StructType) and schema.tag is not None:
        yield f"@property {{{json.dumps(schema.tag)}}} {schema.tag_field}"
    for field in schema.fields:
        extra = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
        text = said.get(field.name, (extra or {}).get("description", ""))
        name = field.name if field.required else f"[{field.name}]"
        yield f"@property {{{typescript(field.type)}}} {name} {text}".rstrip()
    yield ""


def types() -> str:
    """The text of types.js."""
    lines = [f"@typedef {{{' | '.join(map(json.dumps, SHOW.values))}}} Show", ""]  # type: ignore[attr-defined]
    for kind in (*MESSAGES, *events.EVENTS.values()):
        lines += typedef(kind)
    names = " | ".join(kind.__name__ for kind in events.EVENTS.values())
    lines.append(f"@typedef {{{names}}} ChainEvent")
    head = "// The types of the messages between page and server, made by docs/make_schemas.py.\n"
    body = "\n".join(f" * {line}".rstrip() for line in lines)
    return f"{head}\n/**\n{body}\n */\n\nexport {{}};\n"


def fields(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    """Name, and type, bounds and meaning, of each field."""
    said = {
        name: text for base in reversed(kind.__mro__) for name, text in described(base)[1].items()
    }
    for field in msgspec.structs.fields(kind):
        text = words(inspect.type_info(field.type)).replace(f" to {events.MAX_COUNT}", "")
        if not field.required:
            text += f", default {json.dumps(field.default)}"
        yield field.name, text + (f"; {said[field.name]}" if field.name in said else "")


def page() -> str:
    """The text of docs/session-file.md."""
    lines = ["| field | value |", "|---|---|", f'| `format` | "{FORMAT}" |']
    lines += [f"| `{name}` | {text} |" for name, text in fields(SessionFile)]
    about = (events.__doc__ or "").split("\n\n")[1].replace("``", "`")
    rows = []
    for name, kind in events.EVENTS.items():
        listed = "<br>".join(f"`{field}`: {text}" for field, text in fields(kind))
        text = described(kind)[0] + ("" if kind.recorded else " In no session.")
        rows.append(f"| `{name}` | {listed} | {text} |")
    return (
        HEAD
        + "\n".join(lines)
        + "\n"
        + EVENTS.format(about=about, most=events.MAX_COUNT)
        + "\n".join(rows)
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(write_or_check(TYPES, types()) | write_or_check(PAGE, page()))

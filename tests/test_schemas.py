"""What is made from the schemas is current, and the server's messages are of their types."""

import json
from typing import Any

import make_schemas
import msgspec
from asking import Ask, answer, post, turn
from live_chains import exact_model, origin_of
from starlette.types import ASGIApp

from nkca.live.chains.events import EVENTS
from nkca.live.chains.explorer import Setup
from nkca.live.web.guard import Access
from nkca.live.web.messages import About, Head
from nkca.live.web.server import make_app
from nkca.live.web.shared_explorer import SharedExplorer
from nkca.live.web.worker import Worker

EVERYTHING = (
    *(
        {"do": "step", "times": 2},
        {"do": "spread", "tile": 1},
        {"do": "undo"},
        {"do": "level", "level": 0.3},
    ),
    *({"do": "keep", "tile": 0}, {"do": "keep", "tile": 1}, {"do": "remove", "item": 1}),
    *({"do": "paint", "tile": 2, "mask": "8AAA"}, {"do": "select", "tile": 2}),
    *({"do": "record", "on": True}, {"do": "lock", "tile": 3, "locked": True}),
)


def test_the_page_of_session_files_is_up_to_date() -> None:
    text = make_schemas.PAGE.read_text(encoding="utf-8")
    assert text == make_schemas.page(), "run: make map"
    assert all(f"| `{name}` |" in text for name in EVENTS)


def test_the_types_of_the_page_are_up_to_date() -> None:
    assert make_schemas.TYPES.read_text(encoding="utf-8") == make_schemas.types(), "run: make map"


def served() -> ASGIApp:
    model = exact_model()
    shared = SharedExplorer(model, origin_of(model), Setup(4))
    return make_app(shared, Worker(), Access())


def strictly(value: Any, kind: Any) -> None:
    """Check that a value has the fields of a `TypedDict`, at any depth, and no other: it would be lost."""
    assert json.loads(msgspec.json.encode(msgspec.convert(value, kind, strict=True))) == value


def test_the_facts_about_the_model_are_of_their_type() -> None:
    strictly(json.loads(answer(served(), Ask("/api/about")).body), About)


def test_the_head_of_a_frame_is_of_its_type() -> None:
    app = served()
    strictly(answer(app, turn()).head, Head)
    head = answer(app, turn(*EVERYTHING)).head
    strictly(head, Head)
    assert head["history"]["branches"] and head["shelf"]["items"] and head["masks"]["tiles"]
    assert head["recording"] is not None and head["shelf"]["removed_items"]
    session = answer(app, Ask("/api/session.json")).body
    assert answer(app, post("/api/session", session)).status == 200
    head = answer(app, turn()).head
    strictly(head, Head)
    assert head["replaying"] is not None

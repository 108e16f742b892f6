"""Any turns whatever: none fails in a way of its own, and what is promised of the chains stays true."""

import dataclasses
import json
import string
import typing
from base64 import b64encode
from types import NoneType, UnionType
from typing import Annotated, Any

import torch
from asking import Answer, Ask, answer, post
from hypothesis import given, settings
from hypothesis import strategies as st
from live_chains import SHAPE, exact_model, origin_of, ten_pictures
from starlette.types import ASGIApp

from nkca.live.chains.events import EVENTS, OneOf, Within
from nkca.live.chains.explorer import Setup
from nkca.live.chains.story import Story
from nkca.live.chains.tiles import Tiles
from nkca.live.session.file import parse_session, replay
from nkca.live.web.desk import Desk
from nkca.live.web.guard import Access
from nkca.live.web.server import make_app
from nkca.live.web.worker import Worker
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures

TILES = 4
ANSWERS = {200, 400, 409, 413, 415, 422}
Json = dict[str, Any]

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
PNGS = [b64encode(png_bytes(picture)).decode() for picture in as_pictures(ten_pictures()[:2])]
PLAIN: dict[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    str: st.sampled_from(["", "AAAA"]),
    NoneType: st.none(),
}


def likely(name: str, story: Story) -> dict[str, st.SearchStrategy[Any]]:
    """What the fields of the event of that name may well be."""
    shelf = story.removed if name == "restore" else story.shelf
    versions = [entry.moment.version for entry in story.history.entries]
    return {
        "tile": st.integers(0, TILES - 1),
        "times": st.integers(1, 3),
        "steps": st.integers(1, 6),
        "level": st.floats(0.01, 1),
        "seen": st.sampled_from([None, *(moment.version for moment in story.recent)]),
        "item": st.sampled_from([kept.item for kept in shelf] or [1]),
        "to": st.sampled_from(versions or [0]),
        "mask": st.binary(min_size=3, max_size=3).map(lambda bits: b64encode(bits).decode()),
        "image": st.sampled_from(PNGS),
    }


def by_type(hint: Any) -> st.SearchStrategy[Any]:
    """What the vocabulary says that a field may be."""
    if typing.get_origin(hint) in (typing.Union, UnionType):
        return st.one_of(*map(by_type, typing.get_args(hint)))
    kind, rule = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint, None)
    if isinstance(rule, OneOf):
        return st.sampled_from(rule.words)
    if isinstance(rule, Within):
        whole = st.integers(int(rule.low), int(rule.high))
        return st.floats(rule.low, rule.high) if kind is float else whole
    return PLAIN[kind]


def possible(story: Story) -> list[str]:
    """The events that can be done, some more often than others."""
    cannot = {
        "remove": not story.shelf,
        "move": not story.shelf,
        "restore": not story.removed,
        "undo": not story.history.can_undo,
        "redo": not story.history.can_redo,
        "jump": not story.history.entries,
    }
    often = ["keep", "remove", "lock", "paint", "undo", "redo", "level", "step"]
    return [name for name in (*sorted(EVENTS), *often) if not cannot.get(name)]


def rarely(draw: st.DrawFn) -> bool:
    """One time in sixty; hypothesis likes the ends of a range too much."""
    return draw(st.integers(0, 59)) == 31


@st.composite
def events(draw: st.DrawFn, story: Story) -> Json:
    """An event, mostly one that can be done."""
    name = draw(st.sampled_from(sorted(EVENTS) if rarely(draw) else possible(story)))
    event: Json = {"do": name}
    hints = typing.get_type_hints(EVENTS[name], include_extras=True)
    for field in (field.name for field in dataclasses.fields(EVENTS[name])):
        strategy = likely(name, story).get(field, by_type(hints[field]))
        if rarely(draw):
            strategy = by_type(hints[field])
        elif rarely(draw):
            strategy = JUNK
        if not rarely(draw):
            event[field] = draw(strategy)
    if rarely(draw):
        event[draw(st.text(string.ascii_letters, max_size=5))] = draw(JUNK)
    return event


@st.composite
def turns(draw: st.DrawFn, story: Story) -> Json:
    """A turn, mostly one that can be done."""
    done = draw(st.lists(events(story), max_size=3))
    turn: Json = {"events": done, "steps": draw(st.integers(0, 3))}
    fields = {
        "seen": st.integers(-1, 30),
        "epoch": st.just(0),
        "show": st.sampled_from(["z", "x", "both"]),
        "rescale": st.booleans(),
        "have": st.dictionaries(st.sampled_from(["history", "shelf", "masks"]), st.integers(0, 5)),
    }
    for name, strategy in fields.items():
        if rarely(draw):
            turn[name] = draw(JUNK)
        elif draw(st.booleans()):
            turn[name] = draw(strategy)
    return turn


def send(app: ASGIApp, turn: Json) -> Answer:
    return answer(app, post("/api/turn", json.dumps(turn).encode()))


def sound(moment: Tiles, got: Answer) -> None:
    """What is true at any moment."""
    for states in (moment.x, moment.pictures):
        assert tuple(states.shape) == (TILES, *SHAPE)
    assert moment.x.isfinite().all()
    assert moment.repaint.flatten(1).any(1).all()
    assert all(0.01 <= level <= 1 for level in (*moment.levels, moment.noise_level, *moment.ahead))
    assert got.head["version"] == moment.version
    assert got.head["replaying"] is None


def steps_keep_their_promise(app: ASGIApp, desk: Desk) -> None:
    """Locked tiles and held pixels stay bit for bit, all others have moved to their level."""
    before = desk.explorer.story.moment
    assert send(app, {"events": [{"do": "step", "times": 1}]}).status == 200
    after = desk.explorer.story.moment
    assert after.version == before.version + 1
    locked = torch.tensor(before.locked)
    assert torch.equal(after.x[locked], before.x[locked])
    assert torch.equal(after.pictures[locked], before.pictures[locked])
    held = ~before.repaint
    assert torch.equal(after.pictures[held], before.pictures[held])
    assert torch.equal(after.repaint, before.repaint)
    assert {after.levels[tile] for tile in after.free} <= {after.noise_level}


def comes_out_the_same(app: ASGIApp, desk: Desk) -> None:
    """The session file tells it all."""
    session = parse_session(answer(app, Ask("/api/session.json")).body)
    other = Desk(desk.model, desk.origin, session.setup)
    for _ in replay(other.explorer, session):
        pass
    one, two = desk.explorer.story, other.explorer.story
    assert torch.equal(one.moment.x, two.moment.x)
    assert torch.equal(one.moment.pictures, two.moment.pictures)
    assert [kept.item for kept in one.shelf] == [kept.item for kept in two.shelf]
    assert all(torch.equal(a.picture, b.picture) for a, b in zip(one.shelf, two.shelf, strict=True))
    assert other.session == dataclasses.replace(desk.session, setup=session.setup)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(3, 10), st.data())
def test_any_turns(count: int, data: st.DataObject) -> None:
    model = exact_model()
    desk = Desk(model, origin_of(model), Setup(TILES, images=ten_pictures()[:3]))
    app = make_app(desk, Worker(), Access())
    for _ in range(count):
        before = desk.explorer.story
        turn = data.draw(turns(before))
        got = send(app, turn)
        assert got.status in ANSWERS, got.body
        if got.status != 200:
            assert desk.explorer.story is before
            continue
        sound(desk.explorer.story.moment, got)
        assert desk.explorer.story.moment.version >= before.moment.version
        steps_keep_their_promise(app, desk)
    comes_out_the_same(app, desk)

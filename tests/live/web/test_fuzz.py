"""Random turns: every response has an expected status, and the invariants of the chains hold."""

import dataclasses
import json
import string
from base64 import b64encode
from typing import Any

import torch
from asking import Answer, Ask, answer, post
from hypothesis import given, settings
from hypothesis import strategies as st
from live_chains import SHAPE, exact_model, origin_of, ten_pictures
from msgspec import inspect, structs
from starlette.types import ASGIApp

from nkca.live.chains.events import EVENTS
from nkca.live.chains.explorer import Setup
from nkca.live.chains.state import ExplorerState
from nkca.live.chains.tiles import Tiles
from nkca.live.session.file import parse_session, replay
from nkca.live.web.guard import Access
from nkca.live.web.server import make_app
from nkca.live.web.shared_explorer import SharedExplorer
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
    inspect.BoolType: st.booleans(),
    inspect.StrType: st.sampled_from(["", "AAAA"]),
    inspect.NoneType: st.none(),
}


def likely(name: str, state: ExplorerState) -> dict[str, st.SearchStrategy[Any]]:
    """Plausible values for the fields of the event of that name."""
    shelf = state.removed if name == "restore" else state.shelf
    versions = [entry.moment.version for entry in state.history.entries]
    return {
        "tile": st.integers(0, TILES - 1),
        "times": st.integers(1, 3),
        "steps": st.integers(1, 6),
        "level": st.floats(0.01, 1),
        "seen": st.sampled_from([None, *(moment.version for moment in state.recent)]),
        "item": st.sampled_from([kept.item for kept in shelf] or [1]),
        "to": st.sampled_from(versions or [0]),
        "mask": st.binary(min_size=3, max_size=3).map(lambda bits: b64encode(bits).decode()),
        "image": st.sampled_from(PNGS),
    }


def by_type(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """All values that the type of a field allows."""
    match kind:
        case inspect.UnionType(types=kinds):
            return st.one_of(*map(by_type, kinds))
        case inspect.LiteralType(values=words):
            return st.sampled_from(words)
        case inspect.IntType(ge=low, le=high):
            return st.integers(low, high)
        case inspect.FloatType(ge=low, le=high):
            return st.floats(low, high)
    return PLAIN[type(kind)]


def possible(state: ExplorerState) -> list[str]:
    """The events that can be applied, some more often than others."""
    cannot = {
        "remove": not state.shelf,
        "move": not state.shelf,
        "restore": not state.removed,
        "undo": not state.history.can_undo,
        "redo": not state.history.can_redo,
        "jump": not state.history.entries,
    }
    often = ["keep", "remove", "lock", "paint", "undo", "redo", "level", "step"]
    return [name for name in (*sorted(EVENTS), *often) if not cannot.get(name)]


def rarely(draw: st.DrawFn) -> bool:
    """True one time in sixty; not at an end of the range, which hypothesis draws too often."""
    return draw(st.integers(0, 59)) == 31


@st.composite
def events(draw: st.DrawFn, state: ExplorerState) -> Json:
    """An event, mostly one that can be applied."""
    name = draw(st.sampled_from(sorted(EVENTS) if rarely(draw) else possible(state)))
    event: Json = {"do": name}
    for described in structs.fields(EVENTS[name]):
        field, any_value = described.name, by_type(inspect.type_info(described.type))
        strategy = likely(name, state).get(field, any_value)
        if rarely(draw):
            strategy = any_value
        elif rarely(draw):
            strategy = JUNK
        if not rarely(draw):
            event[field] = draw(strategy)
    if rarely(draw):
        event[draw(st.text(string.ascii_letters, max_size=5))] = draw(JUNK)
    return event


@st.composite
def turns(draw: st.DrawFn, state: ExplorerState) -> Json:
    """A turn, mostly one that can be applied."""
    done = draw(st.lists(events(state), max_size=3))
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


def check_invariants(moment: Tiles, got: Answer) -> None:
    """Check the invariants of every moment."""
    for states in (moment.x, moment.pictures):
        assert tuple(states.shape) == (TILES, *SHAPE)
    assert moment.x.isfinite().all()
    assert moment.repaint.flatten(1).any(1).all()
    assert all(0.01 <= level <= 1 for level in (*moment.levels, moment.noise_level, *moment.ahead))
    assert got.head["version"] == moment.version
    assert got.head["replaying"] is None


def check_a_step(app: ASGIApp, shared: SharedExplorer) -> None:
    """A step keeps locked tiles and held pixels bit for bit; all other tiles get the new level."""
    before = shared.explorer.state.moment
    assert send(app, {"events": [{"do": "step", "times": 1}]}).status == 200
    after = shared.explorer.state.moment
    assert after.version == before.version + 1
    locked = torch.tensor(before.locked)
    assert torch.equal(after.x[locked], before.x[locked])
    assert torch.equal(after.pictures[locked], before.pictures[locked])
    held = ~before.repaint
    assert torch.equal(after.pictures[held], before.pictures[held])
    assert torch.equal(after.repaint, before.repaint)
    assert {after.levels[tile] for tile in after.free} <= {after.noise_level}


def check_the_replay(app: ASGIApp, shared: SharedExplorer) -> None:
    """A replay of the session file gives the same state."""
    session = parse_session(answer(app, Ask("/api/session.json")).body)
    other = SharedExplorer(shared.model, shared.origin, session.setup)
    for _ in replay(other.explorer, session):
        pass
    one, two = shared.explorer.state, other.explorer.state
    assert torch.equal(one.moment.x, two.moment.x)
    assert torch.equal(one.moment.pictures, two.moment.pictures)
    assert [kept.item for kept in one.shelf] == [kept.item for kept in two.shelf]
    assert all(torch.equal(a.picture, b.picture) for a, b in zip(one.shelf, two.shelf, strict=True))
    assert other.session == dataclasses.replace(shared.session, setup=session.setup)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(3, 10), st.data())
def test_any_turns(count: int, data: st.DataObject) -> None:
    model = exact_model()
    shared = SharedExplorer(model, origin_of(model), Setup(TILES, images=ten_pictures()[:3]))
    app = make_app(shared, Worker(), Access())
    for _ in range(count):
        before = shared.explorer.state
        turn = data.draw(turns(before))
        got = send(app, turn)
        assert got.status in ANSWERS, got.body
        if got.status != 200:
            assert shared.explorer.state is before
            continue
        check_invariants(shared.explorer.state.moment, got)
        assert shared.explorer.state.moment.version >= before.moment.version
        check_a_step(app, shared)
    check_the_replay(app, shared)

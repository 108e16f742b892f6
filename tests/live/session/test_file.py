"""Session files: a replay is bit-identical; invalid files are refused."""

import base64
import dataclasses
import json
import random
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from live_chains import SHAPE, SPACES, exact_model, origin_of, ten_pictures
from msgspec.structs import replace

from nkca.errors import InputError
from nkca.live.chains import events
from nkca.live.chains.events import Event, Keep, Level, MakeSteps, RunChains, Spread
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.state import CHUNK, ExplorerState, Record
from nkca.live.session.file import (
    caveat,
    check_model,
    parse_session,
    read_session,
    replay,
    session_of,
    to_json,
)
from nkca.pictures.png import png_bytes
from nkca.pixels import as_pictures

TILES = 5


def some_event(chance: random.Random, state: ExplorerState) -> Event:
    """A random event as a user might cause it; not every one can be applied."""
    tile = chance.randrange(TILES)
    seen = chance.choice([None, chance.choice(state.recent).version])
    entries = [entry.moment.version for entry in state.history.entries] or [0]
    bits = np.packbits(np.array([chance.random() < 0.5 for _ in range(24)])).tobytes()
    mask = base64.b64encode(chance.choice([bits, chance.randbytes(24)])).decode()
    picture = png_bytes(as_pictures(ten_pictures())[chance.randrange(10)])
    image = base64.b64encode(picture).decode()
    options: list[Event] = [
        events.RunChains(),
        events.MakeSteps(chance.randint(1, 5), chance.choice([None, None, tile])),
        events.Level(chance.uniform(0.01, 1)),
        events.Anneal(chance.randint(1, 6)),
        events.Pick(chance.choice([None, tile])),
        events.Select(chance.choice([None, tile])),
        events.Spread(tile, seen),
        events.Lock(tile, chance.random() < 0.4, seen),
        events.Paint(tile, mask, seen),
        events.Colour(tile, mask, image, chance.uniform(0.1, 1), chance.random() < 0.5, seen),
        events.Start(chance.choice([None, tile]), image),
        events.Restart(chance.choice(["noise", "images"]), chance.randrange(3)),
        events.Undo(),
        events.Redo(),
        events.Jump(chance.choice(entries)),
        events.Keep(tile, seen),
        events.Remove(chance.randint(1, 4)),
        events.Restore(chance.randint(1, 4)),
        events.Move(chance.randint(1, 4), chance.randrange(3)),
        events.RecordAnimation(chance.random() < 0.5),
    ]
    return chance.choice(options)


def explored(space: str, seed: int, count: int = 150) -> Explorer:
    """An explorer after ``count`` random events."""
    chance = random.Random(seed)
    explorer = Explorer(exact_model(space), Setup(TILES, 3, 0.4, ten_pictures()[:3]))
    for _ in range(count):
        try:
            explorer.apply([some_event(chance, explorer.state)])
        except InputError:
            continue
        for _ in range(chance.choice([0, 0, 1, 4])):
            explorer.step()
    return explorer


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("seed", range(4))
def test_a_replay_is_bit_identical(space: str, seed: int) -> None:
    explorer = explored(space, seed)
    origin = origin_of(explorer.model)
    session = parse_session(to_json(session_of(origin, explorer)))
    assert session.origin == origin
    again = Explorer(exact_model(space), session.setup)
    assert [*replay(again, session)][-1] == session.steps
    before, after = explorer.state, again.state
    assert {type(event) for event in before.record} >= {
        events.Spread,
        events.Paint,
        events.Colour,
        events.Undo,
        events.Keep,
    }
    assert list(after.record) == list(before.record)
    for one, other in zip(before.recent, after.recent, strict=True):
        assert one.version == other.version
        for field in ("x", "pictures", "pace"):
            assert torch.equal(getattr(one, field), getattr(other, field)), field
    assert len(before.shelf) == len(after.shelf)
    for mine, its in zip(before.shelf, after.shelf, strict=True):
        assert dataclasses.replace(mine, picture=its.picture) == its
        assert torch.equal(mine.picture, its.picture)


def test_consecutive_steps_are_merged_in_the_file() -> None:
    explorer = Explorer(exact_model(), Setup(2))
    explorer.apply([RunChains(), MakeSteps(64), MakeSteps(30), Level(0.2), MakeSteps(3)])
    session = session_of(origin_of(explorer.model), explorer)
    assert tuple(session.events) == (MakeSteps(64), MakeSteps(30), Level(0.2), MakeSteps(3))
    assert session.steps == 97


def good() -> dict[str, Any]:
    explorer = Explorer(exact_model(), Setup(2, images=ten_pictures()[:2]))
    explorer.apply([MakeSteps(2), Spread(1), Keep(0)])
    found = json.loads(to_json(session_of(origin_of(explorer.model), explorer)))
    assert isinstance(found, dict)
    return found


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "format": ({"format": "other"}, "not a session"),
    "newer": ({"schema": 5}, "schema 5 is not known here; update nkca"),
    "unknown": ({"evil": 1}, "unknown field 'evil'"),
    "shape": ({"data_shape": [1, 4]}, "'data_shape' must be"),
    "shape of text": ({"data_shape": "146"}, "'data_shape' must be"),
    "two channels": ({"data_shape": [2, 4, 6]}, "1, 3 or 4 channels"),
    "huge shape": ({"data_shape": [1, 10**9, 10**9]}, "from 1 to 16384"),
    "batch": ({"batch_size": 0}, "from 1 to 1024"),
    "huge batch": ({"batch_size": 10**9}, "from 1 to 1024"),
    "truth": ({"seed": True}, "'seed' must be a whole number"),
    "lag": ({"lag": 1.0}, "from 0 to less than 1"),
    "level": ({"level": 0}, "a number from 1e-06 to 1"),
    "precision": ({"precision": "fp8"}, "bf16 or fp16 or fp32"),
    "images": ({"images": [1]}, "each text of at most"),
    "image": ({"images": ["aGVsbG8="]}, "cannot use the image"),
    "path": ({"images": ["/etc/passwd"]}, "cannot use the image"),
    "events": ({"events": {}}, "at most"),
    "event": ({"events": [{"do": "fly"}]}, "unknown event 'fly'"),
    "not recorded": ({"events": [{"do": "step", "times": 1}, {"do": "stop"}]}, "event 1: 'stop'"),
    "older": ({"schema": 0}, "'schema' must be a whole number from 1 to 4"),
    "missing": ({"lag": None}, "'lag' must be"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD.keys())
def test_invalid_sessions_are_refused(change: dict[str, Any], message: str) -> None:
    assert parse_session(json.dumps(good()).encode()).setup.batch_size == 2
    with pytest.raises(InputError, match=message):
        parse_session(json.dumps({**good(), **change}).encode())


def test_a_large_session_holds_the_interpreter_briefly() -> None:
    """Other threads wait while it is parsed; this thread's own time is the same on a busy machine."""
    content = json.dumps({**good(), "events": [{"do": "step", "times": 1}] * 300_000}).encode()
    before = time.thread_time()
    assert len(tuple(parse_session(content).events)) == 300_000
    assert time.thread_time() - before < 1, "a tenth of that when written"


@pytest.mark.parametrize("many", [b"[],", b"1,", b"{},", b'{"do":"undo"},'])
def test_content_that_no_session_has_takes_no_memory(many: bytes) -> None:
    content = json.dumps(good()).encode().replace(b'"events": [', b'"events": [' + many * 1_100_000)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"more events than a session has|Expected `object`"):
            parse_session(content)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_recorded_event_costs_the_same_however_many_there_are() -> None:
    record = Record()
    for number in range(5000):
        record = record.with_event(Level(number / 5000)).with_event(MakeSteps(1))
    assert len(record) == len(list(record)) == 10_000
    assert [event.level for event in record if isinstance(event, Level)] == [
        number / 5000 for number in range(5000)
    ]
    assert record.with_event(Level(1.0)).full[0] is record.full[0], "chunks are shared"
    assert len(record.tail) <= CHUNK
    merged = record.with_event(MakeSteps(3)).with_event(MakeSteps(2, only=1))
    assert list(merged)[-2:] == [MakeSteps(4), MakeSteps(2, only=1)]
    assert list(record)[-1] == MakeSteps(1), "a value"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"a":'])
def test_invalid_json_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match=r"not JSON|not a session"):
        parse_session(content)


def test_the_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such session"):
        read_session(tmp_path / "none.json")
    path = tmp_path / "bad.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"cannot read session .*bad\.json: not a session"):
        read_session(path)


def test_the_error_names_the_event_that_fails() -> None:
    session = parse_session(json.dumps({**good(), "events": [{"do": "undo"}]}).encode())
    with pytest.raises(InputError, match="event 0 of the session: there is nothing to undo"):
        list(replay(Explorer(exact_model(), session.setup), session))


def test_the_caveat_shows_no_control_characters() -> None:
    made = replace(origin_of(exact_model()), checkpoint="\x1b[31mred\nline.pth")
    here = origin_of(exact_model())
    assert caveat(made, here) == caveat(here, here) is None
    other = replace(made, checkpoint_sha256="cd" * 32)
    assert caveat(other, here) == "the session was made with another checkpoint, ?[31mred?line.pth"
    assert "made on cuda" in (caveat(replace(made, device="cuda"), here) or "")


def test_another_kind_of_model_is_refused() -> None:
    session = parse_session(json.dumps(good()).encode())
    check_model(session, exact_model())
    other = dataclasses.replace(exact_model(), data_shape=(3, 8, 8))
    with pytest.raises(
        InputError, match=f"{SHAPE[1]}x{SHAPE[2]} .*with 1 channel, the model of 8x8"
    ):
        check_model(session, other)

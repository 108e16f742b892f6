"""Turns: any number of pages share one explorer, and a step that no page waits for is cancelled."""

import dataclasses
import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from live_chains import SHAPE, calls_of, exact_model, origin_of, ten_pictures
from msgspec.structs import replace
from PIL import Image
from torch import Tensor, nn

from nkca.distributions.contracts import Posterior
from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.live.chains.decoding import decode
from nkca.live.chains.events import (
    Anneal,
    Keep,
    Level,
    Lock,
    MakeSteps,
    Paint,
    Pause,
    RunChains,
    Spread,
    Stop,
)
from nkca.live.chains.explorer import Setup
from nkca.live.chains.finish import finish
from nkca.live.session.file import parse_session, to_json
from nkca.live.web.cancellation import Cancelled
from nkca.live.web.messages import ListName, Turn
from nkca.live.web.shared_explorer import BusyError, Frame, SharedExplorer
from nkca.sampling.reconstruction import STEPS

TILES = 4


def shared_of(**setup: Any) -> SharedExplorer:
    model = exact_model()
    return SharedExplorer(model, origin_of(model), Setup(TILES, **setup))


def pixels(frame: Frame) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(frame.png)))


def test_a_page_requests_step_after_step() -> None:
    shared = shared_of()
    frame = shared.turn(Turn(steps=1))
    assert (frame.head["version"], frame.head["running"]) == (0, False)
    assert pixels(frame).shape == (TILES * SHAPE[1], SHAPE[2])
    frame = shared.turn(Turn(seen=0, events=(RunChains(),), steps=1))
    assert (frame.head["version"], frame.head["step"], frame.head["running"]) == (1, 1, True)
    frame = shared.turn(Turn(seen=1, steps=3))
    assert frame.head["version"] == 4
    shown = shared.explorer.state.moment.pictures.flatten(0, 2).numpy()
    assert np.array_equal(pixels(frame), shown)
    assert json.loads(json.dumps(frame.head)) == frame.head


def test_two_pages_share_one_explorer() -> None:
    shared = shared_of()
    one = two = shared.turn(Turn(events=(RunChains(),))).head["version"]
    calls = calls_of(shared.model)
    calls.clear()
    for _ in range(5):
        one = shared.turn(Turn(seen=one, steps=1)).head["version"]
        frame = shared.turn(Turn(seen=two, steps=1))
        two = frame.head["version"]
        assert frame.png, "the second page gets the frame of the first"
        assert one == two
    assert len(calls) == 6, "five steps, the first with an evaluation of the start too"


def test_a_page_can_let_one_tile_walk() -> None:
    shared = shared_of()
    shared.turn(Turn(events=(RunChains(),), steps=1))
    before = shared.explorer.state.moment.x
    shared.turn(Turn(seen=1, steps=2, only=2))
    after = shared.explorer.state.moment
    assert (after.step, list(shared.session.events)[-1]) == (3, MakeSteps(2, only=2))
    assert [torch.equal(*rows) for rows in zip(after.x, before, strict=True)] == [
        True,
        True,
        False,
        True,
    ]


def test_a_paused_chain_stays() -> None:
    shared = shared_of()
    shared.turn(Turn(events=(RunChains(),), steps=1))
    shared.turn(Turn(events=(Pause(),), steps=1))
    frame = shared.turn(Turn(seen=1, steps=5))
    assert frame.head["version"] == 1
    assert frame.png == b"", "the page has it already"


def test_an_anneal_pauses_in_the_middle_of_a_turn() -> None:
    shared = shared_of()
    frame = shared.turn(Turn(events=(Anneal(3),), steps=10))
    assert (frame.head["step"], frame.head["running"], frame.head["annealing"]) == (3, False, 0)


def test_lists_come_when_they_have_changed() -> None:
    shared = shared_of()
    head = shared.turn(Turn()).head
    have: dict[ListName, int] = {
        name: head[name]["version"] for name in ("history", "shelf", "masks")
    }
    head = shared.turn(Turn(have=have)).head
    assert [head[name] for name in have] == [None, None, None]
    head = shared.turn(Turn(events=(Keep(2), RunChains()), steps=3, have=have)).head
    assert head["history"] is None
    assert head["masks"] is None
    assert [item["name"] for item in head["shelf"]["items"]] == ["kept_0001"]
    have["shelf"] = head["shelf"]["version"]
    head = shared.turn(Turn(events=(Spread(2), Paint(1, "8AAA")), steps=3, have=have)).head
    assert head["shelf"] is None
    assert head["masks"]["tiles"] == {"1": "8AAA"}
    labels = [entry["label"] for entry in head["history"]["entries"]]
    assert labels == ["start", "spread from tile 3"]
    assert head["history"]["position"] == 2


def test_views() -> None:
    shared = shared_of(images=ten_pictures()[:TILES])
    z = pixels(shared.turn(Turn()))
    x = pixels(shared.turn(Turn(show="x")))
    both = pixels(shared.turn(Turn(show="both")))
    assert np.array_equal(both, np.concatenate([x, z], 1))
    assert not np.array_equal(x, z)
    held = ~torch.tensor([1] * 4 + [0] * 20).bool().reshape(SHAPE[1:])
    shared.turn(Turn(events=(Paint(0, "8AAA"),)))
    x = pixels(shared.turn(Turn(show="x")))[: SHAPE[1]]
    assert np.array_equal(x[held], z[: SHAPE[1]][held]), "held pixels are shown unchanged"
    assert (x[~held] != z[: SHAPE[1]][~held]).any()
    stretched = pixels(shared.turn(Turn(show="z", rescale=True)))
    tiles = stretched.reshape(TILES, -1)
    assert (tiles.min(1) == 0).all()
    assert (tiles.max(1) == 255).all()


def test_a_session_is_loaded_and_replayed_turn_by_turn() -> None:
    shared = shared_of(seed=4)
    shared.turn(Turn(events=(RunChains(), Level(0.2), Lock(1, True)), steps=20))
    shared.turn(Turn(events=(Keep(1), Spread(0)), steps=7))
    content, state = to_json(shared.session), shared.explorer.state
    other = shared_of(seed=1)
    before = other.turn(Turn(events=(RunChains(),), steps=3)).head
    other.load(parse_session(content))
    with pytest.raises(BusyError, match="another session"):
        other.turn(Turn(seen=before["version"], epoch=before["epoch"], events=(Keep(0),)))
    assert other.turn(Turn(seen=0, epoch=before["epoch"])).png, "version 0 of another epoch"
    frame = other.turn(Turn(seen=before["version"], epoch=before["epoch"], steps=1))
    assert frame.head["epoch"] == before["epoch"] + 1
    while frame.head["replaying"] is not None:
        assert frame.head["replaying"]["total"] == 27
        with pytest.raises(BusyError, match="being replayed"):
            other.turn(Turn(events=(Keep(0),)))
        frame = other.turn(Turn(seen=frame.head["version"], epoch=frame.head["epoch"], steps=1))
    assert not frame.head["running"]
    assert torch.equal(other.explorer.state.moment.x, state.moment.x)
    assert torch.equal(other.explorer.state.shelf[0].picture, state.shelf[0].picture)
    assert to_json(other.session) == content


def test_a_replay_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nkca.live.web.shared_explorer.REPLAY_SECONDS", 0.0)
    shared = shared_of()
    shared.turn(Turn(events=(MakeSteps(40), Level(0.3), MakeSteps(40))))
    session = parse_session(to_json(shared.session))
    shared.load(session)
    for _ in range(10):
        seen = shared.explorer.state.moment.version
        shared.turn(Turn(seen=seen, steps=1))
    frame = shared.turn(Turn(events=(Stop(),)))
    assert frame.head["replaying"] is None
    assert 0 < frame.head["step"] < 80
    shared.turn(Turn(events=(Keep(0), MakeSteps(2))))
    assert shared.session.steps == frame.head["step"] + 2


def test_a_replay_that_fails_says_so_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nkca.live.web.shared_explorer.REPLAY_SECONDS", 600.0)
    shared = shared_of()
    shared.turn(Turn(events=(MakeSteps(40),)))
    shared.load(parse_session(to_json(shared.session)))
    before = shared.explorer.step

    def fails(_: int | None) -> None:
        if shared.explorer.state.moment.step == 7:
            raise RuntimeError("out of memory")
        before(None)

    monkeypatch.setattr(shared.explorer, "step", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        shared.turn(Turn(seen=0, steps=1))
    monkeypatch.undo()
    head = shared.turn(Turn()).head
    assert (head["replaying"], head["step"], head["running"]) == (None, 7, False)
    assert shared.turn(Turn(events=(MakeSteps(1),))).head["step"] == 8


def test_sessions_of_other_precision_or_shape_are_refused() -> None:
    shared = shared_of()
    state = shared.explorer.state
    session = parse_session(to_json(shared.session))
    for origin in (
        replace(session.origin, precision="bf16"),
        replace(session.origin, data_shape=(3, 4, 6)),
    ):
        with pytest.raises(InputError, match=r"bf16|3 channels"):
            shared.load(dataclasses.replace(session, origin=origin))
    low = dataclasses.replace(session.setup, noise_level=0.001)
    with pytest.raises(InputError, match=r"begins at level 0\.001, the model's lowest is 0\.01"):
        shared.load(dataclasses.replace(session, setup=low))
    assert shared.explorer.state is state
    other_lag = replace(session.origin, lag=0.1)
    shared.load(dataclasses.replace(session, origin=other_lag))
    assert shared.explorer.model.chain.lag == 0.1
    assert shared.session.origin.lag == 0.1


class Layers(nn.Module):
    """A network of ten layers that counts how many of them were reached."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(10))
        self.reached = 0

    def forward(self, x: Tensor, _: Tensor) -> Normal:
        for layer in self.layers:
            x = layer(x)
            self.reached += 1
        return Normal(x, torch.ones_like(x))


def test_a_step_that_no_page_waits_for_is_cancelled() -> None:
    network = Layers()
    model = exact_model()
    model = dataclasses.replace(model, chain=dataclasses.replace(model.chain, denoiser=network))
    shared = SharedExplorer(model, origin_of(model), Setup(TILES))
    shared.turn(Turn(events=(RunChains(),), steps=2))
    before = shared.explorer.state
    network.reached = 0
    frame = shared.turn(Turn(seen=2, steps=5), unwanted=lambda: network.reached >= 3)
    assert network.reached == 3
    assert shared.explorer.state is before
    assert frame.head["version"] == 2
    assert shared.turn(Turn(seen=2, steps=1)).head["version"] == 3
    before = shared.explorer.state
    network.reached = 0
    events = (Level(0.3), MakeSteps(5), Keep(1))
    with pytest.raises(Cancelled):
        shared.turn(Turn(seen=3, events=events), unwanted=lambda: network.reached >= 13)
    assert network.reached == 13
    assert shared.explorer.state is before, "all or nothing"


def test_still_tiles_are_finished_in_the_turn_after_an_action() -> None:
    """The answer to an action costs no finishing; the page goes on showing what it has until then."""
    shared = shared_of()
    first = shared.turn(Turn(seen=-1, show="finished"))
    assert (first.head["pictured"], bool(first.png)) == (0, True)
    calls = calls_of(shared.model)
    calls.clear()
    event = shared.turn(Turn(seen=0, pictured=0, events=(MakeSteps(1),), show="finished"))
    assert (event.head["version"], event.head["pictured"], event.png) == (1, None, b"")
    assert len(calls) <= 2
    finished = shared.turn(Turn(seen=1, pictured=0, show="finished"))
    assert finished.head["pictured"] == 1
    moment = shared.explorer.state.moment
    expected = finish(shared.explorer.model, moment, list(range(TILES)))
    assert np.array_equal(pixels(finished), expected.flatten(0, 2).numpy())
    calls.clear()
    again = shared.turn(Turn(seen=1, pictured=1, show="finished"))
    other_page = shared.turn(Turn(seen=-1, show="finished"))
    assert (again.png, other_page.png) == (b"", finished.png)
    assert not calls, "finished once, for all pages"


def test_a_page_that_shows_nothing_gets_denoised_pictures_at_once() -> None:
    shared = shared_of()
    frame = shared.turn(Turn(events=(MakeSteps(2),), show="finished"))
    shown = shared.explorer.state.moment.pictures.flatten(0, 2).numpy()
    assert frame.head["pictured"] is None
    assert np.array_equal(pixels(frame), shown)


def test_running_chains_are_finished_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the time at most goes into finishing; frames between carry no picture."""
    clock = [0.0]
    monkeypatch.setattr("nkca.live.web.finished_view.time.perf_counter", lambda: clock[0])
    shared = shared_of()
    denoise = shared.model.chain.denoiser

    def timed(x: Tensor, noise_level: Tensor) -> Posterior:
        clock[0] += 1
        return denoise(x, noise_level)

    shared._denoiser.denoiser = timed
    seen = pictured = shared.turn(Turn(show="finished")).head["version"]
    shared.turn(Turn(seen=seen, events=(Level(0.6), RunChains()), show="finished"))
    seen, finished = shared.explorer.state.moment.version, []
    for _ in range(60):
        frame = shared.turn(Turn(seen=seen, pictured=pictured, steps=1, show="finished"))
        seen = frame.head["version"]
        finished.append(bool(frame.png))
        assert frame.head["pictured"] == (seen if frame.png else None)
    each = STEPS * sum(finished)
    assert 5 < sum(finished) < 30
    assert each <= (60 + each) / 3 + STEPS
    last = shared.turn(Turn(seen=seen, pictured=pictured, events=(Pause(),), show="finished"))
    still = shared.turn(Turn(seen=last.head["version"], pictured=pictured, show="finished"))
    assert still.head["pictured"] == still.head["version"]


GOOD_TURN: dict[str, Any] = {"seen": 3, "events": [{"do": "run"}], "steps": 2, "show": "both"}
BAD_TURNS: dict[str, tuple[object, str]] = {
    "no object": ([], "must be an object"),
    "unknown": ({**GOOD_TURN, "path": "/"}, "unknown field 'path'"),
    "events": ({**GOOD_TURN, "events": {}}, "'events' must be a list of at most 64 events"),
    "many": ({**GOOD_TURN, "events": [{"do": "run"}] * 65}, "at most 64 events"),
    "event": ({**GOOD_TURN, "events": [{"do": "fly"}]}, "unknown event 'fly'"),
    "steps": ({**GOOD_TURN, "steps": 65}, "'steps' must be a whole number from 0 to 64"),
    "truth": ({**GOOD_TURN, "seen": True}, "'seen' must be"),
    "only": ({**GOOD_TURN, "only": -1}, "'only' must be a whole number"),
    "show": ({**GOOD_TURN, "show": "y"}, "'show' must be both or finished or x or z"),
    "pictured": ({**GOOD_TURN, "pictured": -2}, "'pictured' must be a whole number"),
    "unhashable": ({**GOOD_TURN, "show": ["z"]}, "'show' must be both or finished or x or z"),
    "rescale": ({**GOOD_TURN, "rescale": 1}, "'rescale' must be true or false"),
    "have": (
        {**GOOD_TURN, "have": {"secrets": 1}},
        "'have' must be an object of history or masks or shelf",
    ),
    "have number": (
        {**GOOD_TURN, "have": {"shelf": "1"}},
        "'have' must be an object of .*, each a whole number",
    ),
}


def parse(value: object) -> Turn:
    return decode(json.dumps(value).encode(), Turn)


def test_a_turn_has_its_values() -> None:
    turn = parse({**GOOD_TURN, "have": {"shelf": 2}, "rescale": True, "epoch": 1, "only": 3})
    assert turn == Turn(
        "both", True, seen=3, epoch=1, events=(RunChains(),), steps=2, have={"shelf": 2}, only=3
    )
    assert parse({}) == Turn()


@pytest.mark.parametrize(("value", "message"), BAD_TURNS.values(), ids=BAD_TURNS.keys())
def test_invalid_turns_are_refused(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(value)

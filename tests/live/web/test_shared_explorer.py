"""Turns: any number of pages share one chain, and a step that nobody waits for is given up."""

import dataclasses
import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from live_chains import SHAPE, calls_of, exact_model, origin_of, ten_pictures
from PIL import Image
from torch import Tensor, nn

from nkca.distributions.normal import Normal
from nkca.errors import InputError
from nkca.live.chains.events import Anneal, Keep, Level, Lock, Paint, Pause, Run, Spread, Step, Stop
from nkca.live.chains.explorer import Setup
from nkca.live.session.file import parse_session, to_json
from nkca.live.web.desk import BusyError, Desk, Frame, Turn, parse_turn
from nkca.live.web.frames import View

TILES = 4


def desk_of(**setup: Any) -> Desk:
    model = exact_model()
    return Desk(model, origin_of(model), Setup(TILES, **setup))


def pixels(frame: Frame) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(frame.png)))


def test_a_page_pulls_step_after_step() -> None:
    desk = desk_of()
    frame = desk.turn(Turn(steps=1))
    assert (frame.head["version"], frame.head["running"]) == (0, False)
    assert pixels(frame).shape == (TILES * SHAPE[1], SHAPE[2])
    frame = desk.turn(Turn(seen=0, events=(Run(),), steps=1))
    assert (frame.head["version"], frame.head["step"], frame.head["running"]) == (1, 1, True)
    frame = desk.turn(Turn(seen=1, steps=3))
    assert frame.head["version"] == 4
    shown = desk.explorer.story.moment.pictures.flatten(0, 2).numpy()
    assert np.array_equal(pixels(frame), shown)
    assert json.loads(json.dumps(frame.head)) == frame.head


def test_two_pages_share_one_chain() -> None:
    desk = desk_of()
    one = two = desk.turn(Turn(events=(Run(),))).head["version"]
    calls = calls_of(desk.model)
    calls.clear()
    for _ in range(5):
        one = desk.turn(Turn(seen=one, steps=1)).head["version"]
        frame = desk.turn(Turn(seen=two, steps=1))
        two = frame.head["version"]
        assert frame.png, "the second page gets the frame of the first"
        assert one == two
    assert len(calls) == 6, "five steps, one of them with the evaluation of the start"


def test_a_paused_chain_stays() -> None:
    desk = desk_of()
    desk.turn(Turn(events=(Run(),), steps=1))
    desk.turn(Turn(events=(Pause(),), steps=1))
    frame = desk.turn(Turn(seen=1, steps=5))
    assert frame.head["version"] == 1
    assert frame.png == b"", "as the page has it"


def test_an_anneal_pauses_in_the_middle_of_a_turn() -> None:
    desk = desk_of()
    frame = desk.turn(Turn(events=(Anneal(3),), steps=10))
    assert (frame.head["step"], frame.head["running"], frame.head["annealing"]) == (3, False, 0)


def test_lists_come_when_they_have_changed() -> None:
    desk = desk_of()
    head = desk.turn(Turn()).head
    have = {name: head[name]["version"] for name in ("history", "shelf", "masks")}
    head = desk.turn(Turn(have=have)).head
    assert [head[name] for name in have] == [None, None, None]
    head = desk.turn(Turn(events=(Keep(2), Run()), steps=3, have=have)).head
    assert head["history"] is None
    assert head["masks"] is None
    assert [item["name"] for item in head["shelf"]["items"]] == ["kept_0001"]
    have["shelf"] = head["shelf"]["version"]
    head = desk.turn(Turn(events=(Spread(2), Paint(1, "8AAA")), steps=3, have=have)).head
    assert head["shelf"] is None
    assert head["masks"]["tiles"] == {"1": "8AAA"}
    labels = [entry["label"] for entry in head["history"]["entries"]]
    assert labels == ["start", "spread from tile 3"]
    assert head["history"]["position"] == 2


def test_views() -> None:
    desk = desk_of(images=ten_pictures()[:TILES])
    z = pixels(desk.turn(Turn()))
    x = pixels(desk.turn(Turn(view=View("x"))))
    both = pixels(desk.turn(Turn(view=View("both"))))
    assert np.array_equal(both, np.concatenate([x, z], 1))
    assert not np.array_equal(x, z)
    held = ~torch.tensor([1] * 4 + [0] * 20).bool().reshape(SHAPE[1:])
    desk.turn(Turn(events=(Paint(0, "8AAA"),)))
    x = pixels(desk.turn(Turn(view=View("x"))))[: SHAPE[1]]
    assert np.array_equal(x[held], z[: SHAPE[1]][held]), "held pixels are shown as they are"
    assert (x[~held] != z[: SHAPE[1]][~held]).any()
    stretched = pixels(desk.turn(Turn(view=View("z", rescale=True))))
    tiles = stretched.reshape(TILES, -1)
    assert (tiles.min(1) == 0).all()
    assert (tiles.max(1) == 255).all()


def test_a_session_is_loaded_and_replayed_turn_by_turn() -> None:
    desk = desk_of(seed=4)
    desk.turn(Turn(events=(Run(), Level(0.2), Lock(1, True)), steps=20))
    desk.turn(Turn(events=(Keep(1), Spread(0)), steps=7))
    content, story = to_json(desk.session), desk.explorer.story
    other = desk_of(seed=1)
    before = other.turn(Turn(events=(Run(),), steps=3)).head
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
    assert torch.equal(other.explorer.story.moment.x, story.moment.x)
    assert torch.equal(other.explorer.story.shelf[0].picture, story.shelf[0].picture)
    assert to_json(other.session) == content


def test_a_replay_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nkca.live.web.desk.REPLAY_SECONDS", 0.0)
    desk = desk_of()
    desk.turn(Turn(events=(Step(40), Level(0.3), Step(40))))
    session = parse_session(to_json(desk.session))
    desk.load(session)
    for _ in range(10):
        seen = desk.explorer.story.moment.version
        desk.turn(Turn(seen=seen, steps=1))
    frame = desk.turn(Turn(events=(Stop(),)))
    assert frame.head["replaying"] is None
    assert 0 < frame.head["step"] < 80
    desk.turn(Turn(events=(Keep(0), Step(2))))
    assert desk.session.steps == frame.head["step"] + 2


def test_a_replay_that_fails_says_so_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_of()
    desk.turn(Turn(events=(Step(40),)))
    desk.load(parse_session(to_json(desk.session)))
    before = desk.explorer.step

    def fails() -> None:
        if desk.explorer.story.moment.step == 7:
            raise RuntimeError("out of memory")
        before()

    monkeypatch.setattr(desk.explorer, "step", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        desk.turn(Turn(seen=0, steps=1))
    monkeypatch.undo()
    head = desk.turn(Turn()).head
    assert (head["replaying"], head["step"], head["running"]) == (None, 7, False)
    assert desk.turn(Turn(events=(Step(1),))).head["step"] == 8


def test_sessions_of_other_precision_or_shape_are_refused() -> None:
    desk = desk_of()
    story = desk.explorer.story
    session = parse_session(to_json(desk.session))
    for origin in (
        dataclasses.replace(session.origin, precision="bf16"),
        dataclasses.replace(session.origin, data_shape=(3, 4, 6)),
    ):
        with pytest.raises(InputError, match=r"bf16|3 channels"):
            desk.load(dataclasses.replace(session, origin=origin))
    low = dataclasses.replace(session.setup, noise_level=0.001)
    with pytest.raises(InputError, match=r"begins at level 0\.001, the model's lowest is 0\.01"):
        desk.load(dataclasses.replace(session, setup=low))
    assert desk.explorer.story is story
    other_lag = dataclasses.replace(session.origin, lag=0.1)
    desk.load(dataclasses.replace(session, origin=other_lag))
    assert desk.explorer.model.chain.lag == 0.1
    assert desk.session.origin.lag == 0.1


class Layers(nn.Module):
    """A network of ten layers that says how many of them were reached."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(10))
        self.reached = 0

    def forward(self, x: Tensor, _: Tensor) -> Normal:
        for layer in self.layers:
            x = layer(x)
            self.reached += 1
        return Normal(x, torch.ones_like(x))


def test_a_step_that_nobody_waits_for_is_given_up() -> None:
    network = Layers()
    model = exact_model()
    model = dataclasses.replace(model, chain=dataclasses.replace(model.chain, denoiser=network))
    desk = Desk(model, origin_of(model), Setup(TILES))
    desk.turn(Turn(events=(Run(),), steps=2))
    before = desk.explorer.story
    network.reached = 0
    frame = desk.turn(Turn(seen=2, steps=5), unwanted=lambda: network.reached >= 3)
    assert network.reached == 3
    assert desk.explorer.story is before
    assert frame.head["version"] == 2
    assert desk.turn(Turn(seen=2, steps=1)).head["version"] == 3
    before = desk.explorer.story
    network.reached = 0
    events = (Level(0.3), Step(5), Keep(1))
    desk.turn(Turn(seen=3, events=events), unwanted=lambda: network.reached >= 13)
    assert network.reached == 13
    assert desk.explorer.story is before, "all or nothing"


GOOD_TURN: dict[str, Any] = {"seen": 3, "events": [{"do": "run"}], "steps": 2, "show": "both"}
BAD_TURNS: dict[str, tuple[object, str]] = {
    "no object": ([], "must be an object"),
    "unknown": ({**GOOD_TURN, "path": "/"}, "unknown field 'path'"),
    "events": ({**GOOD_TURN, "events": {}}, "'events' must be a list"),
    "many": ({**GOOD_TURN, "events": [{"do": "run"}] * 65}, "at most 64"),
    "event": ({**GOOD_TURN, "events": [{"do": "fly"}]}, "unknown event 'fly'"),
    "steps": ({**GOOD_TURN, "steps": 65}, "'steps' must be a whole number from 0 to 64"),
    "truth": ({**GOOD_TURN, "seen": True}, "'seen' must be"),
    "show": ({**GOOD_TURN, "show": "y"}, "'show' must be z, x, both"),
    "unhashable": ({**GOOD_TURN, "show": ["z"]}, "'show' must be z, x, both"),
    "rescale": ({**GOOD_TURN, "rescale": 1}, "'rescale' true or false"),
    "have": ({**GOOD_TURN, "have": {"secrets": 1}}, "'have' must be an object"),
    "have number": ({**GOOD_TURN, "have": {"shelf": "1"}}, "'shelf' must be a whole number"),
}


def test_a_turn_has_its_values() -> None:
    turn = parse_turn({**GOOD_TURN, "have": {"shelf": 2}, "rescale": True, "epoch": 1})
    assert turn == Turn(3, 1, (Run(),), 2, View("both", True), {"shelf": 2})
    assert parse_turn({}) == Turn()


@pytest.mark.parametrize(("value", "message"), BAD_TURNS.values(), ids=BAD_TURNS.keys())
def test_what_is_no_turn_is_refused(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_turn(value)

"""One explorer shared by many pages: one request at a time, and the replay of a loaded session.

A *turn* is what a page asks for: do these events, then make some steps if nobody has moved the chains
past what the page has seen. So any number of pages share one chain, and one that stops asking stops it.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nkca.errors import InputError
from nkca.live.chains import events as do
from nkca.live.chains.events import MAX_TIMES, Event, parse_event
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.story import Story
from nkca.live.session.file import Origin, Session, check_model, replay, session_of
from nkca.live.web.cancellation import Interrupted, Interruptible
from nkca.live.web.frames import (
    SHOWS,
    View,
    describe_history,
    describe_masks,
    describe_shelf,
    describe_story,
    sprite,
)
from nkca.models.model import Model

MAX_EVENTS = 64
REPLAY_SECONDS = 0.1  # of a turn
LISTS: Mapping[str, tuple[Callable[[Story], object], Callable[[Story], dict[str, Any]]]] = {
    "history": (lambda story: story.history, lambda story: describe_history(story.history)),
    "shelf": (lambda story: story.shelf, describe_shelf),
    "masks": (lambda story: story.moment.repaint, lambda story: describe_masks(story.moment)),
}


class BusyError(InputError):
    """It cannot be done now."""


@dataclass(frozen=True)
class Turn:
    """What a page asks for.

    Args:
        seen: the version of the newest frame that the page has; -1: none.
        epoch: of that frame; None: whatever it is now.
        steps: to make, if the chains run.
        have: the number of each list (history, shelf, masks) that the page has.
    """

    seen: int = -1
    epoch: int | None = None
    events: tuple[Event, ...] = ()
    steps: int = 0
    view: View = field(default_factory=View)
    have: Mapping[str, int] = field(default_factory=dict)


def parse_turn(value: object) -> Turn:
    """Make a turn of what JSON holds.

    Raises:
        InputError: if it is not exactly one.
    """
    if not isinstance(value, dict):
        raise InputError("a turn must be an object")
    unknown = value.keys() - {"seen", "epoch", "events", "steps", "show", "rescale", "have"}
    if unknown:
        raise InputError(f"turn: unknown field '{min(unknown)[:40]}'")
    events, have = value.get("events", []), value.get("have", {})
    show, rescale = value.get("show", "z"), value.get("rescale", False)
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise InputError(f"turn: 'events' must be a list of at most {MAX_EVENTS}")
    if not isinstance(have, dict) or not have.keys() <= set(LISTS):
        raise InputError(f"turn: 'have' must be an object with {', '.join(LISTS)}")
    if show not in SHOWS or not isinstance(rescale, bool):
        raise InputError(f"turn: 'show' must be {', '.join(SHOWS)} and 'rescale' true or false")
    return Turn(
        seen=_whole("seen", value.get("seen", -1), -1, do.COUNT),
        epoch=None if value.get("epoch") is None else _whole("epoch", value["epoch"], 0, do.COUNT),
        events=tuple(map(parse_event, events)),
        steps=_whole("steps", value.get("steps", 0), 0, MAX_TIMES),
        view=View(show, rescale),
        have={name: _whole(name, number, 0, do.COUNT) for name, number in have.items()},
    )


@dataclass(frozen=True)
class Frame:
    """What a page gets: a head for JSON, and the PNG of the tiles (empty: as the page has it)."""

    head: Mapping[str, Any]
    png: bytes


@dataclass
class _Replay:
    """A session on its way to be what it was."""

    steps: Iterator[int]
    total: int
    done: int = 0


class Desk:
    """The explorer, and what may happen to it; not for two threads at once.

    Args:
        origin: which model it explores, for the session file.
        setup: what the session begins with.
        epoch: a number that pages of an earlier desk do not know.

    ``notice`` is what pages should tell the person, if anything.
    """

    def __init__(self, model: Model, origin: Origin, setup: Setup, epoch: int = 0) -> None:
        self.model, self.origin, self.epoch = model, origin, epoch
        self._denoiser = Interruptible(model.chain.denoiser)
        chain = dataclasses.replace(model.chain, denoiser=self._denoiser)
        self.explorer = Explorer(dataclasses.replace(model, chain=chain), setup)
        self.notice: str | None = None
        self._replay: _Replay | None = None
        self._numbers = {name: _Number() for name in LISTS}
        self._step_ms: float | None = None

    @property
    def session(self) -> Session:
        """The session so far."""
        lag = self.explorer.model.chain.lag
        return session_of(dataclasses.replace(self.origin, lag=lag), self.explorer)

    def turn(self, turn: Turn, unwanted: Callable[[], bool] = lambda: False) -> Frame:
        """Do what a page asks for, and tell it how things are.

        Args:
            unwanted: says that the page does not wait any more: what is being done is given up.

        Raises:
            PassedError: if an event is about what is not remembered any more.
            BusyError: if a session is being replayed, or another one was loaded.
            InputError: if an event cannot be done. Nothing has changed in any of these cases.
        """
        same = turn.epoch in (None, self.epoch)
        if turn.events and not same:
            raise BusyError("another session has been loaded")
        seen = turn.seen if same else -1
        pulled = bool(turn.events) or seen == self.explorer.story.moment.version
        with self._denoiser.until(unwanted), contextlib.suppress(Interrupted):
            self._apply(turn.events)
            if pulled and self._replay is None:
                self._advance(turn.steps)
        if pulled and turn.steps and self._replay is not None:
            self._go_on(self._replay)
        changed = bool(turn.events) or seen != self.explorer.story.moment.version
        return self._frame(turn, changed)

    def load(self, session: Session) -> None:
        """Begin to replay a session; the turns that follow advance it.

        Raises:
            InputError: if it is of another kind of model.
        """
        check_model(session, self.model)
        if session.origin.precision != self.origin.precision:
            raise InputError(
                f"the session was made with --precision={session.origin.precision}: start with that"
            )
        chain = dataclasses.replace(self.explorer.model.chain, lag=session.origin.lag)
        self.explorer = Explorer(dataclasses.replace(self.model, chain=chain), session.setup)
        self.epoch += 1
        self._replay = _Replay(replay(self.explorer, session), session.steps)

    def _apply(self, events: Sequence[Event]) -> None:
        if self._replay is None:
            self.explorer.apply([event for event in events if not isinstance(event, do.Stop)])
            return
        if any(not isinstance(event, do.Stop | do.Run | do.Pause) for event in events):
            raise BusyError("a session is being replayed; stop that first")
        if any(isinstance(event, do.Stop) for event in events):
            self._end_replay()

    def _advance(self, steps: int) -> None:
        for _ in range(steps):
            if not self.explorer.story.running:
                return
            before = time.perf_counter()
            self.explorer.step()
            self._step_ms = 1000 * (time.perf_counter() - before)

    def _go_on(self, replay: _Replay) -> None:
        until = time.perf_counter() + REPLAY_SECONDS
        try:
            for done in replay.steps:
                replay.done = done
                if time.perf_counter() >= until:
                    return
        except BaseException:  # a generator that raised is at its end
            self._end_replay()
            raise
        self._end_replay()

    def _end_replay(self) -> None:
        self._replay = None
        self.explorer.apply([do.Pause()])

    def _frame(self, turn: Turn, changed: bool) -> Frame:
        story = self.explorer.story
        head = describe_story(story)
        head |= {"epoch": self.epoch, "step_ms": self._step_ms, "notice": self.notice}
        for name, (value_of, describe) in LISTS.items():
            number = self._numbers[name].of(value_of(story))
            head[name] = None
            if turn.have.get(name) != number:
                head[name] = {"version": number, **describe(story)}
        on = self._replay
        head["replaying"] = on and {"done": on.done, "total": on.total}
        png = sprite(self.model, story.moment, turn.view) if changed else b""
        return Frame(head, png)


@dataclass
class _Number:
    """Counts how often a value has become another one."""

    value: object = None
    number: int = 0

    def of(self, value: object) -> int:
        """The number of this value: another one than that of the value before, unless it is that one."""
        if value is not self.value:
            self.value, self.number = value, self.number + 1
        return self.number


def _whole(name: str, value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise InputError(
            f"turn: '{name}' must be a whole number from {low} to {high}, got {repr(value)[:40]}"
        )
    return value

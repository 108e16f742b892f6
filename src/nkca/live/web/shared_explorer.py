"""One explorer shared by any number of pages, one request at a time; also replays a loaded session.

A *turn* is one request of a page: apply these events, then make some steps, unless another page has
already moved the chains past the frame that this page has. So all pages show the same chains, and the
chains stop when no page sends turns.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from nkca.errors import InputError
from nkca.live.chains.events import Event, Pause, RunChains, Stop
from nkca.live.chains.explorer import Explorer, Setup
from nkca.live.chains.state import ExplorerState
from nkca.live.session.file import Origin, Session, check_model, replay, session_of
from nkca.live.web.cancellation import CancellableDenoiser, Cancelled
from nkca.live.web.finished_view import FinishedView
from nkca.live.web.frames import (
    history_fields,
    mask_fields,
    shelf_fields,
    sprite,
    state_fields,
)
from nkca.live.web.messages import ListName, Turn
from nkca.models.model import Model

REPLAY_SECONDS = 0.1  # of a turn, spent on the replay
LISTS: Mapping[
    ListName,
    tuple[Callable[[ExplorerState], object], Callable[[ExplorerState, int], Mapping[str, object]]],
] = {
    "history": (
        lambda state: state.history,
        lambda state, number: history_fields(state.history, number),
    ),
    "shelf": (lambda state: state.shelf, shelf_fields),
    "masks": (
        lambda state: state.moment.pace,
        lambda state, number: mask_fields(state.moment, number),
    ),
}


class BusyError(InputError):
    """The request cannot be carried out now."""


@dataclass(frozen=True)
class Frame:
    """The response to a turn: a head for JSON, and a PNG of the tiles, empty if the page has it already."""

    head: Mapping[str, Any]
    png: bytes


@dataclass
class _Replay:
    """A replay in progress."""

    steps: Iterator[int]
    total: int
    done: int = 0


class SharedExplorer:
    """An explorer that takes turns from pages; not thread-safe.

    Args:
        origin: the model's description for the session file.
        setup: the initial setup of the session.
        epoch: identifies the session; must differ from that of an earlier server at the same address.
        state: of another explorer of this model and setup, to continue from; None: new chains.

    ``notice`` is a message that pages should show to the user, or None; ``numbers`` are those of the lists.
    """

    def __init__(
        self,
        model: Model,
        origin: Origin,
        setup: Setup,
        epoch: int = 0,
        state: ExplorerState | None = None,
    ) -> None:
        self.model, self.origin, self.epoch = model, origin, epoch
        self._denoiser = CancellableDenoiser(model.chain.denoiser)
        chain = dataclasses.replace(model.chain, denoiser=self._denoiser)
        self.explorer = Explorer(dataclasses.replace(model, chain=chain), setup, state)
        self.notice: str | None = None
        self._replay: _Replay | None = None
        self.numbers = {name: ListNumber() for name in LISTS}
        self._finished = FinishedView()
        self._step_ms: float | None = None

    @property
    def session(self) -> Session:
        """The session so far."""
        lag = self.explorer.model.chain.lag
        return session_of(replace(self.origin, lag=lag), self.explorer)

    def turn(self, turn: Turn, unwanted: Callable[[], bool] = lambda: False) -> Frame:
        """Apply the events of a turn, make its steps, and return the frame for its page.

        Args:
            unwanted: whether the page no longer waits; the events or the step in progress are cancelled.

        Raises:
            Cancelled: if the events were cancelled.
            ExpiredError: if an event refers to a moment that is no longer stored.
            BusyError: if a session is being replayed, or another one was loaded.
            InputError: if an event cannot be applied. In all these cases nothing has changed.
        """
        same = turn.epoch in (None, self.epoch)
        if turn.events and not same:
            raise BusyError("another session has been loaded")
        seen = turn.seen if same else -1
        pictured = turn.pictured if same and turn.pictured is not None else seen
        may_step = bool(turn.events) or seen == self.explorer.state.moment.version
        with self._denoiser.cancel_when(unwanted):
            self._apply(turn.events)
            with contextlib.suppress(Cancelled):
                self._work(turn, may_step)
        if may_step and turn.steps and self._replay is not None:
            self._continue_replay(self._replay)
        changed = bool(turn.events) or pictured != self.explorer.state.moment.version
        return self._frame(turn, changed, pictured >= 0)

    def load(self, session: Session) -> None:
        """Start the replay of a session; the following turns advance it.

        Raises:
            InputError: if the model does not fit the session.
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

    def _work(self, turn: Turn, may_step: bool) -> None:
        """Make the steps and the finished pictures of a turn."""
        if may_step and self._replay is None:
            self._advance(turn.steps, turn.only)
        if turn.show == "finished" and not turn.events:
            state = self.explorer.state
            self._finished.make(self.explorer.model, state.moment, state.running)

    def _apply(self, events: Sequence[Event]) -> None:
        if self._replay is None:
            self.explorer.apply([event for event in events if not isinstance(event, Stop)])
            return
        if any(not isinstance(event, Stop | RunChains | Pause) for event in events):
            raise BusyError("a session is being replayed; stop that first")
        if any(isinstance(event, Stop) for event in events):
            self._end_replay()

    def _advance(self, steps: int, only: int | None) -> None:
        for _ in range(steps):
            if not self.explorer.state.running:
                return
            before = time.perf_counter()
            self.explorer.step(only)
            self._step_ms = 1000 * (time.perf_counter() - before)

    def _continue_replay(self, replay: _Replay) -> None:
        until = time.perf_counter() + REPLAY_SECONDS
        try:
            for done in replay.steps:
                replay.done = done
                if time.perf_counter() >= until:
                    return
        except BaseException:  # a generator that raised cannot be resumed
            self._end_replay()
            raise
        self._end_replay()

    def _end_replay(self) -> None:
        self._replay = None
        self.explorer.apply([Pause()])

    def _frame(self, turn: Turn, changed: bool, shows_tiles: bool) -> Frame:
        """The frame; pages that wait for finished pictures go on showing the tiles that they have."""
        state = self.explorer.state
        head: dict[str, Any] = {**state_fields(state)}
        head |= {"epoch": self.epoch, "step_ms": self._step_ms, "notice": self.notice}
        for name, (value_of, fields_of) in LISTS.items():
            number = self.numbers[name].of(value_of(state))
            head[name] = None
            if turn.have.get(name) != number:
                head[name] = fields_of(state, number)
        on = self._replay
        head["replaying"] = on and {"done": on.done, "total": on.total}
        finished = self._finished.of(state.moment)
        waits = turn.show == "finished" and finished is None
        head["pictured"] = None if waits else state.moment.version
        if waits and shows_tiles and (state.running or not self._finished.is_slow):
            changed = False
        png = sprite(self.model, state.moment, turn, finished) if changed else b""
        return Frame(head, png)


@dataclass
class ListNumber:
    """Counts how often a value was replaced by another object."""

    value: object = None
    number: int = 0

    def of(self, value: object) -> int:
        """The number of this value, increased if it is not the same object as the last one."""
        if value is not self.value:
            self.value, self.number = value, self.number + 1
        return self.number

"""The chains of one visitor, or of all: an explorer, and which sessions of it are saved."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from nkca.errors import InputError, out_of_memory_advice
from nkca.live.chains.events import Keep, Move, Remove, Restore
from nkca.live.chains.explorer import Setup
from nkca.live.session.file import Origin, Session
from nkca.live.web.autosave import Saved, saved_sessions
from nkca.live.web.cancellation import Cancelled
from nkca.live.web.downloads import Snapshot
from nkca.live.web.messages import ListName, Turn
from nkca.live.web.opened import Opened
from nkca.live.web.parking import Tests, put_away, take_back
from nkca.live.web.shared_explorer import BusyError, Frame, ListNumber, SharedExplorer
from nkca.models.model import Model

SHELF_EVENTS = (Keep, Remove, Restore, Move)
LONGEST_TURN = 10.0  # seconds, while another visitor waits
_ADVICE = "(start again with a smaller --batch-size)"

OnChange = Callable[[SharedExplorer, bool], None]


class GoneError(InputError):
    """There are no chains for this request."""


@dataclass
class Saves:
    """The saved sessions of a seat.

    Args:
        on_change: called with False after the shelf has changed, and with True before other chains take
            the place of these.
        found: the saved sessions of a checkpoint that this visitor may open, by its digest.
        listed: their files; it only grows, so that their numbers stay.
    """

    on_change: OnChange | None = None
    found: Callable[[str], list[Saved]] = saved_sessions
    listed: list[Path] = field(default_factory=list)

    def numbered(self, sha256: str) -> list[tuple[int, Saved]]:
        """The saved sessions, each with its number."""
        found = self.found(sha256)
        self.listed += [one.path for one in found if one.path not in self.listed]
        return [(self.listed.index(one.path), one) for one in found]


class Seat:
    """The chains of one visitor, or of all; only one thread may use it, except `now`.

    ``now`` is an immutable snapshot, from which downloads are made in other threads, so that they do not
    wait for a step. ``used`` is when a request used the chains last. ``tests`` are
    those of "Real or made?", by their names.

    Args:
        number: of the model.
        opened: is held, so that other visitors of the model get the same one.
    """

    def __init__(
        self, shared: SharedExplorer, saves: Saves, number: int = 0, opened: Opened | None = None
    ) -> None:
        self.shared, self.saves, self.number, self.opened = shared, saves, number, opened
        self.batch_size = shared.explorer.setup.batch_size
        self.used = time.monotonic()
        self.tests: Tests = {}
        self.now = self._snapshot()

    def turn(
        self, turn: Turn, gone: Callable[[], bool], others_wait: Callable[[], bool] = lambda: False
    ) -> Frame:
        """Take a turn; see `SharedExplorer.turn`.

        Args:
            gone: whether the page no longer waits.
            others_wait: whether another visitor waits; a turn then has `LONGEST_TURN`.

        Raises:
            BusyError: if the events took too long; none of them is applied.
        """
        if gone() and not turn.events:
            return Frame({}, b"")
        until = time.monotonic() + LONGEST_TURN

        def unwanted() -> bool:
            return gone() or (time.monotonic() > until and others_wait())

        try:
            with self._changing():
                frame = self.shared.turn(turn, unwanted)
        except Cancelled:
            raise BusyError("this takes too long while others wait: try less at once") from None
        if any(isinstance(event, SHELF_EVENTS) for event in turn.events):
            self.save(False)
        return frame

    def load(self, session: Session) -> None:
        """Start the replay of a session in place of these chains."""
        self.save(True)
        with self._changing():
            self.shared.load(session)

    def save(self, always: bool) -> None:
        """Save the session if a picture was kept or, with ``always``, if anything has happened."""
        if self.saves.on_change:
            self.saves.on_change(self.shared, always)

    def park(self) -> "Parked":
        """Put the state into a file. A replay ends where it is.

        Raises:
            OSError: if there is no room for it.
        """
        explorer, shared = self.shared.explorer, self.shared
        return Parked(
            self.number,
            shared.origin,
            explorer.setup,
            explorer.model.chain.lag,
            shared.epoch,
            put_away(explorer.state, self.tests),
            {name: list_.number for name, list_ in shared.numbers.items()},
            self.batch_size,
            self.saves,
        )

    def _snapshot(self) -> Snapshot:
        shared = self.shared
        return Snapshot(shared.session, shared.explorer.state, shared.model)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with out_of_memory_advice(_ADVICE):
                yield
        finally:
            self.now = self._snapshot()


@dataclass(frozen=True)
class Parked:
    """Chains in a file, without their model."""

    number: int
    origin: Origin
    setup: Setup
    lag: float
    epoch: int
    state: IO[bytes]
    lists: Mapping[ListName, int]
    batch_size: int
    saves: Saves

    def resume(self, opened: Opened) -> Seat:
        """The chains again, the same to the bit; new ones if the model is another one now."""
        if opened.origin != self.origin:
            self.state.close()
            return Seat(opened.explorer(), self.saves, self.number, opened)
        model = _with_lag(opened.model, self.lag)
        state, tests = take_back(self.state)
        shared = SharedExplorer(model, self.origin, self.setup, self.epoch, state)
        shared.numbers = {name: ListNumber(None, number) for name, number in self.lists.items()}
        seat = Seat(shared, self.saves, self.number, opened)
        seat.batch_size, seat.tests = self.batch_size, tests
        return seat


def _with_lag(model: Model, lag: float) -> Model:
    return dataclasses.replace(model, chain=dataclasses.replace(model.chain, lag=lag))

"""The state of an explorer as a value: the present, the history, the shelf and the recorded events."""

import dataclasses
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from msgspec.structs import replace
from torch import Tensor

from nkca.errors import InputError
from nkca.live.chains.choices import Choice
from nkca.live.chains.events import MAX_TIMES, Event, MakeSteps
from nkca.live.chains.history import History
from nkca.live.chains.recording import Recording
from nkca.live.chains.tiles import Tiles

MIN_RECENT, MAX_RECENT = 16, 64  # moments that ``seen`` may refer to
RECENT_BYTES = 128 << 20
CHUNK = 1024  # events


@dataclass(frozen=True)
class Record(Collection[Event]):
    """The recorded events, in chunks, so that one more costs the same however many there are."""

    full: tuple[tuple[Event, ...], ...] = ()
    tail: tuple[Event, ...] = ()

    def __iter__(self) -> Iterator[Event]:
        return itertools.chain(*self.full, self.tail)

    def __len__(self) -> int:
        return CHUNK * len(self.full) + len(self.tail)

    def __contains__(self, event: object) -> bool:
        return any(event == other for other in self)

    def with_event(self, event: Event) -> "Record":
        """One event more; a step is added to the same steps before it."""
        last = self.tail[-1] if self.tail else None
        if isinstance(event, MakeSteps) and isinstance(last, MakeSteps) and last.only == event.only:
            times = last.times + event.times
            if times <= MAX_TIMES:
                return Record(self.full, (*self.tail[:-1], replace(event, times=times)))
        if len(self.tail) < CHUNK:
            return Record(self.full, (*self.tail, event))
        return Record((*self.full, self.tail), (event,))


class ExpiredError(InputError):
    """The moment that an event refers to is no longer stored."""


@dataclass(frozen=True)
class Kept:
    """A picture on the shelf, uint8 (C, H, W), and the tile, step, level and seed that made it."""

    item: int
    tile: int
    step: int
    level: float
    seed: int
    picture: Tensor


def kept_from(moment: Tiles, tile: int, item: int = 0, picture: Tensor | None = None) -> Kept:
    """A picture for the shelf, from a tile of a moment; ``picture`` in place of the denoised one."""
    if picture is None:
        picture = moment.pictures[tile].clone()
    return Kept(item, tile, moment.step, moment.levels[tile], moment.seed, picture)


@dataclass(frozen=True)
class ExplorerState:
    """Everything that events and steps change.

    Args:
        recent: the last moments, the present one last.
        removed: pictures removed from the shelf, which can be restored.
        record: the events so far, as the session file stores them; consecutive steps are one event.
        recording: None before the first one.
        choices: those made so far, undone ones too.
    """

    recent: tuple[Tiles, ...]
    history: History
    shelf: tuple[Kept, ...] = ()
    removed: tuple[Kept, ...] = ()
    record: Record = Record()
    recording: Recording | None = None
    running: bool = False
    choices: tuple[Choice, ...] = ()

    @property
    def moment(self) -> Tiles:
        """The present moment."""
        return self.recent[-1]

    def seen(self, version: int | None) -> Tiles:
        """The moment of that version. Raises `ExpiredError` if it is no longer stored."""
        if version is None:
            return self.moment
        for moment in self.recent:
            if moment.version == version:
                return moment
        raise ExpiredError(f"moment {version} is no longer stored; look again")

    def moved(self, moment: Tiles) -> "ExplorerState":
        """The state with a new present, which gets the next version."""
        present = dataclasses.replace(moment, version=self.moment.version + 1)
        room = max(MIN_RECENT, min(MAX_RECENT, RECENT_BYTES // present.nbytes()))
        return dataclasses.replace(self, recent=(*self.recent, present)[-room:])

    def acted(self, moment: Tiles, label: str) -> "ExplorerState":
        """As `moved`, for an action that can be undone."""
        moved = self.moved(labelled(moment, label, self.moment.version + 1))
        return dataclasses.replace(moved, history=self.history.act(self.moment))

    def recorded(self, event: Event) -> "ExplorerState":
        """The state with one more recorded event."""
        return dataclasses.replace(self, record=self.record.with_event(event))


def labelled(moment: Tiles, label: str, version: int) -> Tiles:
    """The moment with the label of the action that led to it."""
    return dataclasses.replace(moment, label=label, labelled=version)

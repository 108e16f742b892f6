"""The state of a session as a value: present, past, shelf and record."""

import dataclasses
from dataclasses import dataclass

from torch import Tensor

from nkca.errors import InputError
from nkca.live.chains.events import MAX_TIMES, Event, Step
from nkca.live.chains.history import History
from nkca.live.chains.recording import Recording
from nkca.live.chains.tiles import Tiles

MIN_RECENT, MAX_RECENT = 16, 64  # moments that events may refer to as seen
RECENT_BYTES = 128 << 20


class PassedError(InputError):
    """The moment that an event refers to is not remembered any more."""


@dataclass(frozen=True)
class Kept:
    """A picture on the shelf, uint8 (C, H, W), and where it comes from."""

    item: int
    tile: int
    step: int
    level: float
    seed: int
    picture: Tensor


def kept_from(moment: Tiles, tile: int, item: int = 0) -> Kept:
    """A tile of a moment as a picture of the shelf."""
    picture = moment.pictures[tile].clone()
    return Kept(item, tile, moment.step, moment.levels[tile], moment.seed, picture)


@dataclass(frozen=True)
class Story:
    """All of a session.

    Args:
        recent: the last moments, the present one last.
        record: what happened, as the session file tells it; steps in a row are one event.
        recording: None before the first one.
    """

    recent: tuple[Tiles, ...]
    history: History
    shelf: tuple[Kept, ...] = ()
    removed: tuple[Kept, ...] = ()
    record: tuple[Event, ...] = ()
    recording: Recording | None = None
    running: bool = False

    @property
    def moment(self) -> Tiles:
        """The present."""
        return self.recent[-1]

    def seen(self, version: int | None) -> Tiles:
        """The moment that a person was looking at. Raises `PassedError` if it is gone."""
        if version is None:
            return self.moment
        for moment in self.recent:
            if moment.version == version:
                return moment
        raise PassedError(f"moment {version} has passed; look again")

    def moved(self, moment: Tiles) -> "Story":
        """The story with a new present, of the next version."""
        present = dataclasses.replace(moment, version=self.moment.version + 1)
        room = max(MIN_RECENT, min(MAX_RECENT, RECENT_BYTES // present.nbytes()))
        return dataclasses.replace(self, recent=(*self.recent, present)[-room:])

    def acted(self, moment: Tiles, label: str) -> "Story":
        """As `moved`, by an action that can be undone."""
        moved = self.moved(labelled(moment, label, self.moment.version + 1))
        return dataclasses.replace(moved, history=self.history.act(self.moment))

    def recorded(self, event: Event) -> "Story":
        """The story with one more event on record."""
        last = self.record[-1] if self.record else None
        if isinstance(event, Step) and isinstance(last, Step):
            times = last.times + event.times
            if times <= MAX_TIMES:
                return dataclasses.replace(self, record=(*self.record[:-1], Step(times)))
        return dataclasses.replace(self, record=(*self.record, event))


def labelled(moment: Tiles, label: str, version: int) -> Tiles:
    """The moment after an action of that name."""
    return dataclasses.replace(moment, label=label, labelled=version)

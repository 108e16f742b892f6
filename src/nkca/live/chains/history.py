"""Undo and redo: past and future moments as a value, in bounded memory.

The past, the present and the future lie on one strip, oldest first. Undo and redo move the present
along it from action to action, a jump moves it anywhere; only a new action forgets the future.
"""

import dataclasses
from dataclasses import dataclass

from nkca.errors import InputError
from nkca.live.chains.tiles import Tiles

MAX_BYTES = 256 << 20
MAX_ENTRIES, MIN_ENTRIES = 200, 8


@dataclass(frozen=True)
class Entry:
    """A moment to go back to; ``automatic`` ones were not followed by an action."""

    moment: Tiles
    automatic: bool = False


@dataclass(frozen=True)
class History:
    """The strip around a present that is not part of it.

    Args:
        capacity: of entries; beyond it automatic ones are forgotten first, then the oldest.
    """

    capacity: int
    past: tuple[Entry, ...] = ()
    future: tuple[Entry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them, oldest first; the present lies after the first ``len(past)``."""
        return self.past + self.future

    @property
    def can_undo(self) -> bool:
        """Whether there was an action before the present."""
        return any(not entry.automatic for entry in self.past)

    @property
    def can_redo(self) -> bool:
        """Whether an action was undone."""
        return any(not entry.automatic for entry in self.future)

    def act(self, present: Tiles) -> "History":
        """A new action follows ``present``."""
        return self._bounded((*self.past, Entry(present)), ())

    def note(self, present: Tiles) -> "History":
        """Remember ``present`` though nothing is done to it."""
        return self._bounded((*self.past, Entry(present, automatic=True)), self.future)

    def undo(self, present: Tiles) -> tuple["History", Tiles]:
        """Go back to before the last action. Raises `InputError` if there is none."""
        if not self.can_undo:
            raise InputError("there is nothing to undo")
        return self._go(present, max(i for i, e in enumerate(self.past) if not e.automatic))

    def redo(self, present: Tiles) -> tuple["History", Tiles]:
        """Take an undo back. Raises `InputError` if there is none."""
        if not self.can_redo:
            raise InputError("there is nothing to redo")
        first = min(i for i, e in enumerate(self.future) if not e.automatic)
        return self._go(present, len(self.past) + first)

    def jump(self, present: Tiles, version: int) -> tuple["History", Tiles]:
        """Go to the entry of that version. Raises `InputError` if it is not remembered."""
        for index, entry in enumerate(self.entries):
            if entry.moment.version == version:
                return self._go(present, index)
        raise InputError("that moment is not remembered any more")

    def _go(self, present: Tiles, index: int) -> tuple["History", Tiles]:
        strip = (*self.past, Entry(present), *self.future)
        place = index + (index >= len(self.past))
        moved = dataclasses.replace(self, past=strip[:place], future=strip[place + 1 :])
        return moved, strip[place].moment

    def _bounded(self, past: tuple[Entry, ...], future: tuple[Entry, ...]) -> "History":
        while len(past) + len(future) > self.capacity and past:
            worst = next((i for i, entry in enumerate(past) if entry.automatic), 0)
            past = past[:worst] + past[worst + 1 :]
        return dataclasses.replace(self, past=past, future=future)


def empty_history(moment: Tiles) -> History:
    """A history of moments as large as this one."""
    room = MAX_BYTES // moment.nbytes()
    return History(max(MIN_ENTRIES, min(MAX_ENTRIES, room)))

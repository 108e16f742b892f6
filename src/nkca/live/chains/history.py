"""Undo and redo: past and future moments as a value, in bounded memory.

Past, present and future are one sequence, oldest first. Undo and redo move the present along it from
action to action, a jump moves it to any entry; only a new action discards the future.
"""

import dataclasses
from dataclasses import dataclass

from nkca.errors import InputError
from nkca.live.chains.tiles import Tiles

MAX_BYTES = 256 << 20
MAX_ENTRIES, MIN_ENTRIES = 200, 8


@dataclass(frozen=True)
class Entry:
    """A stored moment; an ``automatic`` one was stored by itself, not because of an action."""

    moment: Tiles
    automatic: bool = False


@dataclass(frozen=True)
class History:
    """The entries before and after the present, which is not among them.

    Args:
        capacity: the most entries; beyond it, automatic ones are dropped first, then the oldest.
    """

    capacity: int
    past: tuple[Entry, ...] = ()
    future: tuple[Entry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first; the present comes after the first ``len(past)``."""
        return self.past + self.future

    @property
    def can_undo(self) -> bool:
        """Whether there is an action to undo."""
        return any(not entry.automatic for entry in self.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone action to redo."""
        return any(not entry.automatic for entry in self.future)

    def act(self, present: Tiles) -> "History":
        """Store ``present`` because an action follows; discards the future."""
        return self._bounded((*self.past, Entry(present)), ())

    def note(self, present: Tiles) -> "History":
        """Store ``present`` automatically, without an action."""
        return self._bounded((*self.past, Entry(present, automatic=True)), self.future)

    def undo(self, present: Tiles) -> tuple["History", Tiles]:
        """Return to the moment before the last action. Raises `InputError` if there is none."""
        if not self.can_undo:
            raise InputError("there is nothing to undo")
        return self._go(present, max(i for i, e in enumerate(self.past) if not e.automatic))

    def redo(self, present: Tiles) -> tuple["History", Tiles]:
        """Revert an undo. Raises `InputError` if there is none."""
        if not self.can_redo:
            raise InputError("there is nothing to redo")
        first = min(i for i, e in enumerate(self.future) if not e.automatic)
        return self._go(present, len(self.past) + first)

    def jump(self, present: Tiles, version: int) -> tuple["History", Tiles]:
        """Go to the entry of that version. Raises `InputError` if there is none."""
        for index, entry in enumerate(self.entries):
            if entry.moment.version == version:
                return self._go(present, index)
        raise InputError("that moment is no longer in the history")

    def _go(self, present: Tiles, index: int) -> tuple["History", Tiles]:
        sequence = (*self.past, Entry(present), *self.future)
        place = index + (index >= len(self.past))
        moved = dataclasses.replace(self, past=sequence[:place], future=sequence[place + 1 :])
        return moved, sequence[place].moment

    def _bounded(self, past: tuple[Entry, ...], future: tuple[Entry, ...]) -> "History":
        while len(past) + len(future) > self.capacity and past:
            dropped = next((i for i, entry in enumerate(past) if entry.automatic), 0)
            past = past[:dropped] + past[dropped + 1 :]
        return dataclasses.replace(self, past=past, future=future)


def empty_history(moment: Tiles) -> History:
    """An empty history with a capacity for moments as large as this one."""
    room = MAX_BYTES // moment.nbytes()
    return History(max(MIN_ENTRIES, min(MAX_ENTRIES, room)))

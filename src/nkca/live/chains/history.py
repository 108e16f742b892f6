"""Undo and redo: a tree of moments as a value, in bounded memory.

Past, present and future are one line, oldest first. Undo and redo move the present along it from action to
action. An action after an undo goes on from there, and the future that it leaves becomes a branch. A jump
moves the present to any entry; to one of a branch, whose line then is the line.
"""

import dataclasses
from dataclasses import dataclass

from nkca.errors import InputError
from nkca.live.chains.tiles import Tiles

MAX_BYTES = 256 << 20
MAX_ENTRIES, MIN_ENTRIES = 200, 8


@dataclass(frozen=True, eq=False)
class Entry:
    """A stored moment; an ``automatic`` one was stored by itself, not because of an action."""

    moment: Tiles
    automatic: bool = False


@dataclass(frozen=True)
class Branch:
    """A future that was left: entries, oldest first, that followed the last moment of an action.

    Args:
        root: the version at which that action happened (`Tiles.labelled`); if no moment of it is stored any
            more, the entries followed the beginning of the line.
    """

    root: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class History:
    """The entries before and after the present, which is not among them, and the branches.

    Args:
        capacity: the most entries; beyond it, automatic ones are dropped first, then the oldest, but none
            of the future.
    """

    capacity: int
    past: tuple[Entry, ...] = ()
    future: tuple[Entry, ...] = ()
    branches: tuple[Branch, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those of the line, oldest first; the present comes after the first ``len(past)``."""
        return self.past + self.future

    @property
    def stored(self) -> tuple[Entry, ...]:
        """All entries, those of branches too."""
        return (*self.entries, *(entry for branch in self.branches for entry in branch.entries))

    @property
    def can_undo(self) -> bool:
        """Whether there is an action to undo."""
        return any(not entry.automatic for entry in self.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone action to redo."""
        return any(not entry.automatic for entry in self.future)

    def act(self, present: Tiles) -> "History":
        """Store ``present`` because an action follows; the future becomes a branch."""
        left = (Branch(present.labelled, self.future),) if self.future else ()
        past = (*self.past, Entry(present))
        return History(self.capacity, past, (), self.branches + left)._bounded()

    def note(self, present: Tiles) -> "History":
        """Store ``present`` automatically, without an action."""
        past = (*self.past, Entry(present, automatic=True))
        return dataclasses.replace(self, past=past)._bounded()

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
        for branch in self.branches:
            for entry in branch.entries:
                if entry.moment.version == version:
                    return self._enter(present, branch, entry)
        raise InputError("that moment is no longer in the history")

    def _go(self, present: Tiles, index: int) -> tuple["History", Tiles]:
        sequence = (*self.past, Entry(present), *self.future)
        place = index + (index >= len(self.past))
        moved = dataclasses.replace(self, past=sequence[:place], future=sequence[place + 1 :])
        return moved, sequence[place].moment

    def _enter(self, present: Tiles, branch: Branch, entry: Entry) -> tuple["History", Tiles]:
        """Go to an entry of a branch, whose line then is the line."""
        line = (*self.past, Entry(present), *self.future)
        line, branches = _through(line, self.branches, branch)
        place = line.index(entry)
        moved = History(self.capacity, line[:place], line[place + 1 :], branches)
        return moved, entry.moment

    def _bounded(self) -> "History":
        """Without the entries that are too many."""
        many = len(self.stored) - self.capacity
        droppable = [entry for entry in self.stored if entry not in self.future]
        droppable.sort(key=lambda entry: (not entry.automatic, entry.moment.version))
        dropped = droppable[: max(0, many)]
        kept = [Branch(branch.root, _without(branch.entries, dropped)) for branch in self.branches]
        branches = tuple(branch for branch in kept if branch.entries)
        return History(self.capacity, _without(self.past, dropped), self.future, branches)


def _through(
    line: tuple[Entry, ...], branches: tuple[Branch, ...], branch: Branch
) -> tuple[tuple[Entry, ...], tuple[Branch, ...]]:
    """The line that leads through a branch, and the branches beside it."""
    others = tuple(other for other in branches if other is not branch)
    for other in others:
        if _last(line, branch.root) < 0 <= _last(other.entries, branch.root):
            line, others = _through(line, others, other)
    place = _last(line, branch.root) + 1
    left = (Branch(branch.root, line[place:]),) if line[place:] else ()
    return line[:place] + branch.entries, others + left


def _last(entries: tuple[Entry, ...], root: int) -> int:
    """The index of the last moment of an action; -1: there is none."""
    return max((i for i, entry in enumerate(entries) if entry.moment.labelled == root), default=-1)


def _without(entries: tuple[Entry, ...], dropped: list[Entry]) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry not in dropped)


def empty_history(moment: Tiles) -> History:
    """An empty history with a capacity for moments as large as this one."""
    room = MAX_BYTES // moment.nbytes()
    return History(max(MIN_ENTRIES, min(MAX_ENTRIES, room)))

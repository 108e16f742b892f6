"""The history of moments: bounded, and without loss within the bound."""

import dataclasses
import random

import pytest
import torch
from live_chains import explorer_of

from nkca.errors import InputError
from nkca.live.chains.history import (
    MAX_BYTES,
    MAX_ENTRIES,
    MIN_ENTRIES,
    Branch,
    History,
    empty_history,
)
from nkca.live.chains.tiles import Tiles


def moments(count: int) -> list[Tiles]:
    first = explorer_of(batch_size=1).state.moment
    return [dataclasses.replace(first, version=number, labelled=number) for number in range(count)]


def versions(history: History) -> list[int]:
    return [entry.moment.version for entry in history.entries]


def versions_of(branch: Branch) -> list[int]:
    return [entry.moment.version for entry in branch.entries]


def test_automatic_entries_go_first_then_the_oldest() -> None:
    made = moments(10)
    history = History(4)
    for moment in made[:3]:
        history = history.act(moment)
    history = history.note(made[3]).note(made[4])
    assert versions(history) == [0, 1, 2, 4]
    history = history.act(made[5])
    assert versions(history) == [0, 1, 2, 5]
    history = history.act(made[6])
    assert versions(history) == [1, 2, 5, 6]


def test_undo_skips_automatic_entries() -> None:
    made = moments(6)
    history = History(9).act(made[0]).note(made[1]).note(made[2])
    history, back = history.undo(made[3])
    assert back.version == 0
    assert versions(history) == [1, 2, 3]
    assert not history.can_undo
    history, forth = history.redo(back)
    assert forth.version == 3
    assert versions(history) == [0, 1, 2]


def test_a_new_action_makes_the_future_a_branch_and_a_note_does_not() -> None:
    made = moments(6)
    history, back = History(9).act(made[0]).act(made[1]).undo(made[2])
    assert versions(history.note(made[3])) == [0, 3, 2]
    left = history.act(back)
    assert versions(left) == [0, 1]
    assert [versions_of(branch) for branch in left.branches] == [[2]]
    again, present = left.jump(made[4], 2)
    assert present.version == 2
    assert versions(again) == [0, 1]
    assert [versions_of(branch) for branch in again.branches] == [[4]]
    forth, present = again.jump(present, 4)
    assert (versions(forth), present.version) == ([0, 1], 4)
    assert [versions_of(branch) for branch in forth.branches] == [[2]]


def test_a_branch_of_a_branch_is_reached_and_lost_roots_are_no_end() -> None:
    made = moments(9)
    history, present = History(9), made[0]
    for action in made[1:4]:  # 0 1 2 3
        history, present = history.act(present), action
    history, present = history.jump(present, 2)
    history, present = history.act(present), made[4]  # 0 1 2 4, and 3 after 2
    history, present = history.jump(present, 1)
    history, present = history.act(present), made[5]  # 0 1 5, 2 4 after 1, and 3 after 2
    history, present = history.jump(present, 3)
    assert [*versions(history), present.version] == [0, 1, 2, 3]
    assert sorted(map(tuple, map(versions_of, history.branches))) == [(4,), (5,)]
    lost = dataclasses.replace(history, past=history.past[2:])
    found, present = lost.jump(present, 5)
    assert present.version == 5
    assert {entry.moment.version for entry in found.stored} == {2, 3, 4}


def test_any_sequence_of_moves_keeps_every_moment_once() -> None:
    chance = random.Random(0)
    made = moments(12)
    history, present = History(99), made[0]
    for moment in made[1:]:
        history, present = history.act(present), moment
    everyone = set(range(12))
    for _ in range(200):
        kind = chance.choice(["undo", "redo", "jump"])
        try:
            if kind == "jump":
                history, present = history.jump(present, chance.choice(versions(history)))
            else:
                history, present = getattr(history, kind)(present)
        except InputError:
            pass
        assert {*versions(history), present.version} == everyone
        assert len(history.entries) == 11
        order = [*versions(history)[: len(history.past)], present.version]
        assert order + versions(history)[len(history.past) :] == sorted(everyone)


def test_actions_and_jumps_lose_nothing_within_the_bound_and_keep_to_it() -> None:
    chance = random.Random(1)
    made = moments(60)
    history, present = History(99), made[0]
    small, there = History(7), made[0]
    for number in range(1, 60):
        for _ in range(2):
            if history.stored:
                wanted = chance.choice([entry.moment.version for entry in history.stored])
                history, present = history.jump(present, wanted)
            if small.stored:
                wanted = chance.choice([entry.moment.version for entry in small.stored])
                small, there = small.jump(there, wanted)
        history, present = history.act(present), made[number]
        small, there = small.act(there), made[number]
        found = [entry.moment.version for entry in history.stored]
        assert sorted([*found, present.version]) == list(range(number + 1))
        assert len(small.stored) == min(7, number)


def test_memory_is_bounded() -> None:
    small = explorer_of(batch_size=1).state.moment
    assert empty_history(small).capacity == MAX_ENTRIES
    large = dataclasses.replace(small, x=torch.empty(1, 3, 4096, 4096))
    assert empty_history(large).capacity == MIN_ENTRIES
    middle = dataclasses.replace(small, x=torch.empty(4, 3, 256, 256))
    assert empty_history(middle).capacity * middle.nbytes() <= MAX_BYTES
    with pytest.raises(InputError, match="nothing to undo"):
        empty_history(small).undo(small)

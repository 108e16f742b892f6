"""The state of idle chains in a file without a name: it takes no memory, and is read back exactly."""

import tempfile
from typing import IO, Any, TypeAlias

import torch

from nkca.live.chains.choices import Choice
from nkca.live.chains.discrimination import Answer, Discrimination, Trial
from nkca.live.chains.events import EVENTS
from nkca.live.chains.held import Held
from nkca.live.chains.history import Branch, Entry, History
from nkca.live.chains.recording import Recording
from nkca.live.chains.state import ExplorerState, Kept, Record
from nkca.live.chains.tiles import Tiles

_VALUES = (ExplorerState, Tiles, History, Entry, Branch, Kept, Record, Recording, Choice, Held)
_TESTS = (Discrimination, Trial, Answer)
_CLASSES: list[Any] = [*_VALUES, *_TESTS, *EVENTS.values()]

Tests: TypeAlias = dict[str, Discrimination]  # by their names


def put_away(state: ExplorerState, tests: Tests) -> IO[bytes]:
    """Write a state and tests to a temporary file, which only this process can open; it ends with it.

    Raises:
        OSError: if there is no room.
    """
    file = tempfile.TemporaryFile(prefix="nkca-")  # noqa: SIM115  (it stays open)
    try:
        torch.save((state, tests), file)
    except BaseException:
        file.close()
        raise
    return file


def take_back(file: IO[bytes]) -> tuple[ExplorerState, Tests]:
    """Read the state and the tests from a file of `put_away`, bit for bit, and close it."""
    with file, torch.serialization.safe_globals(_CLASSES):
        file.seek(0)
        state, tests = torch.load(file, weights_only=True)
    assert isinstance(state, ExplorerState)
    return state, tests


def size(file: IO[bytes]) -> int:
    """The bytes of a file of `put_away`."""
    return file.seek(0, 2)

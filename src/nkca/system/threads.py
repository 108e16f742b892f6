"""How many threads compute, and how they wait for each other.

OpenMP's threads wait in a loop that keeps their core busy. On a machine with other work each then waits for
a thread that cannot run because another one is waiting: a training step on two busy cores took four times
as long. Where they sleep at once, the next operation begins late: on two free cores a step took 1.5 times
as long. A loop of microseconds has neither fault (docs/training.md). A command, not the library, may
decide this for its process.
"""

import contextlib
import logging
import os
import statistics
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
_logger = logging.getLogger("nkca")

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of OpenMP, GCC's and Intel's
_TURNS = "1000"  # of GCC's loop; PyTorch for Linux brings GCC's OpenMP
_PAUSE = 60.0  # seconds between trials of `with_fastest_threads`
_TRIES = 3  # steps with each number
_CLEARLY = 0.9  # the share of a step's time below which another number is taken
_CHANGED = (
    "computing with %d of %d threads, the fastest beside other programs (OMP_NUM_THREADS sets it)"
)


def wait_briefly() -> None:
    """Make waiting threads sleep after a moment, unless the environment says how they wait.

    OpenMP reads the environment once, when it is loaded: call this before PyTorch is imported.
    """
    if not any(name in os.environ for name in _SETTINGS):
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT=_TURNS)


def with_fastest_threads(steps: Generator[T, None, None]) -> Generator[T, None, None]:
    """Take ``steps`` with as many of PyTorch's threads as make them fastest.

    A step waits for its slowest thread, and where other programs are busy that one may wait for a core:
    with one of two cores busy, a training step of a small network took three times as long with two
    threads as with one. So every minute the number is compared with its half and its double on the next
    few steps, whose results differ by rounding. A number in the environment (OMP_NUM_THREADS) is obeyed.
    Closing the result closes ``steps``.
    """
    import torch

    most = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ or most == 1:
        yield from steps
        return
    choice = _Choice(most)
    try:
        with contextlib.closing(steps):
            while True:
                count = choice.next()
                torch.set_num_threads(count)
                began = time.monotonic()
                try:
                    report = next(steps)
                except StopIteration:
                    return
                choice.add(count, time.monotonic() - began)
                yield report
    finally:
        torch.set_num_threads(most)


class _Choice:
    """The number of threads, and what was measured in the trial that is going on."""

    def __init__(self, most: int) -> None:
        self._most = self._count = most
        self._plan: list[int] = []
        self._seconds: dict[int, list[float]] = {}
        self._next_trial = time.monotonic()

    def next(self) -> int:
        """The number for the next step."""
        if not self._seconds and time.monotonic() >= self._next_trial:
            tried = {max(1, self._count // 2), self._count, min(self._most, 2 * self._count)}
            self._plan = sorted(tried) * _TRIES
            self._seconds = {count: [] for count in tried}
        return self._plan.pop() if self._plan else self._count

    def add(self, count: int, seconds: float) -> None:
        """A step with that number took so long."""
        if not self._seconds:
            return
        self._seconds[count].append(seconds)
        if self._plan:
            return
        typical = {count: statistics.median(times) for count, times in self._seconds.items()}
        best, used = min(typical, key=typical.__getitem__), sum(map(sum, self._seconds.values()))
        self._seconds, pause = {}, max(_PAUSE, 20 * used)
        if typical[best] < _CLEARLY * typical[self._count]:
            self._count, pause = best, 0.0
            _logger.info(_CHANGED, best, self._most)
        self._next_trial = time.monotonic() + pause

"""Threads that run one job after another, for a server that must not block."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class FullError(Exception):
    """Too much is waiting already."""


class Worker:
    """Does what it is given in order, each piece of work in one of a few threads that stay the same.

    Args:
        threads: one, where the work shares something.
        room: for pieces of work that wait or are being done.
    """

    def __init__(self, threads: int = 1, room: int = 32) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="nkca-live")
        self._lock = threading.Lock()
        self._room = room

    async def do(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, or raises.

        Raises:
            FullError: at once, if there is no room.
        """
        with self._lock:
            if not self._room:
                raise FullError
            self._room -= 1
        future = self._executor.submit(work)
        future.add_done_callback(self._done)
        return await asyncio.wrap_future(future)

    def _done(self, _: "Future[Any]") -> None:
        with self._lock:
            self._room += 1

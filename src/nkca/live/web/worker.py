"""Threads that run jobs in order, so that the server's event loop does not block."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class FullError(Exception):
    """Too many jobs are waiting."""


class Worker:
    """Runs jobs in order in a fixed set of threads.

    Args:
        threads: must be one if the jobs share an object.
        capacity: the most jobs that may wait or run at once.
    """

    def __init__(self, threads: int = 1, capacity: int = 32) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="nkca-live")
        self._lock = threading.Lock()
        self._free = capacity

    async def do(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread; returns or raises what it does.

        Raises:
            FullError: at once, if the capacity is used up.
        """
        with self._lock:
            if not self._free:
                raise FullError
            self._free -= 1
        future = self._executor.submit(work)
        future.add_done_callback(self._done)
        return await asyncio.wrap_future(future)

    def _done(self, _: "Future[Any]") -> None:
        with self._lock:
            self._free += 1

"""Threads that run jobs, so that the server's event loop does not block: in turns, one job of each lane."""

import asyncio
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class FullError(Exception):
    """Too many jobs are waiting, or too many visitors are here.

    Args:
        wait: seconds after which it may be worth to try again.
    """

    def __init__(self, sentence: str = "too many requests are waiting", wait: float = 1.0) -> None:
        super().__init__(sentence)
        self.wait = wait


def retry_after(error: FullError) -> str:
    """The value of the header Retry-After."""
    return str(math.ceil(error.wait))


class Worker:
    """Runs jobs in a fixed set of threads.

    Jobs of a lane, such as those for one visitor, run in order; lanes take turns. So a lane with many jobs
    delays another one by one job only.

    Args:
        threads: must be one if the jobs share an object.
        capacity: the most jobs that may wait or run at once.
        lane_capacity: the most of one lane.
    """

    def __init__(
        self, threads: int = 1, capacity: int = 32, lane_capacity: int | None = None
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="nkca-live")
        self._lock = threading.Lock()
        self._free = capacity
        self._lane_capacity = capacity if lane_capacity is None else lane_capacity
        self._lanes: OrderedDict[str, deque[Callable[[], None]]] = OrderedDict()

    async def do(self, work: Callable[[], T], lane: str = "") -> T:
        """Run ``work`` in a thread; returns or raises what it does.

        Raises:
            FullError: at once, if the capacity is used up.
        """
        return await asyncio.wrap_future(self.submit(work, lane))

    def submit(self, work: Callable[[], T], lane: str = "") -> "Future[T]":
        """As `do`, without waiting."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            if not self._free or len(self._lanes.get(lane, ())) >= self._lane_capacity:
                raise FullError
            self._free -= 1
            self._lanes.setdefault(lane, deque()).append(run)
        self._executor.submit(self._run_next).add_done_callback(self._done)
        return future

    def others_wait(self, lane: str) -> bool:
        """Whether a job of another lane is waiting."""
        with self._lock:
            return any(other != lane for other in self._lanes)

    def _run_next(self) -> None:
        """Run the first job of the first lane, which then is the last one."""
        with self._lock:
            lane, jobs = self._lanes.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._lanes[lane] = jobs
        job()

    def _done(self, _: "Future[Any]") -> None:
        with self._lock:
            self._free += 1

"""Threads that decode image files, and for large sets processes.

Decoding a small image is mostly Python code, which the global interpreter lock serialises: two threads are
slower than one. The processes are loky's, separate interpreters: `multiprocessing` would run the user's
script again, or fork a process that has threads.
"""

import contextlib
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from nkca.errors import InputError

A = TypeVar("A")
T = TypeVar("T")
Call = Callable[[Callable[[Any], Any], Any], Any]

IMAGES_FOR_PROCESSES = 5_000  # for fewer images, starting processes costs more than it saves
_BATCHES_AHEAD = 8


@dataclass(frozen=True)
class WorkerPool:
    """Threads, and the function ``call(function, argument)`` by which they call a pure function."""

    threads: Executor
    size: int
    call: Call

    def in_order(self, work: Callable[[A], T], batches: Iterator[A]) -> Iterator[T]:
        """As `Executor.map`, but with only a few batches ahead of the consumer."""
        pending: deque[Future[T]] = deque()
        try:
            for batch in batches:
                pending.append(self.threads.submit(work, batch))
                if len(pending) > max(_BATCHES_AHEAD, 2 * self.size):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@contextlib.contextmanager
def worker_pool(workers: int, images: int) -> Iterator[WorkerPool]:
    """A pool for that many images; with one worker, or few images, it has no processes."""
    workers = max(1, workers)
    with contextlib.ExitStack() as stack:
        call: Call = _call_here
        if workers > 1 and images >= IMAGES_FOR_PROCESSES:
            call = stack.enter_context(_processes(workers))
        with ThreadPoolExecutor(workers) as threads:
            try:
                yield WorkerPool(threads, workers, call)
            except BaseException:
                stack.close()  # end the processes now, so that no thread waits for them
                raise


def _call_here(function: Callable[[A], T], argument: A) -> T:
    return function(argument)


@contextlib.contextmanager
def _processes(count: int) -> Iterator[Call]:
    """Start processes; yield a function that calls a given function in one of them.

    That function must be defined in a module, or be a partial of such a one; its errors are raised here.
    """
    from loky.process_executor import ProcessPoolExecutor  # type: ignore[import-untyped]

    executor = ProcessPoolExecutor(count, initializer=_leave_ctrl_c_to_the_caller)

    def call(function: Callable[[Any], Any], argument: Any) -> Any:
        try:
            try:
                future = executor.submit(function, argument)
            except OSError as error:
                raise InputError(
                    f"cannot start a process that decodes images: {error.strerror}; data_workers=1 "
                    "needs none"
                ) from error
            return future.result()
        except BrokenExecutor as error:
            raise InputError(
                "a process that decodes images has ended (out of memory, or a crash of Pillow?); "
                "data_workers=1 decodes without processes"
            ) from error

    try:
        yield call
    finally:
        executor.shutdown(kill_workers=True)


def _leave_ctrl_c_to_the_caller() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""Threads that decode image files, and for large sets processes.

Decoding a small image is mostly Python code, which the global interpreter lock serialises: two threads are
slower than one. The processes are separate interpreters, called through pipes: `multiprocessing` would run
the user's script again, or fork a process that has threads.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, TypeVar

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
        if workers > 1 and images >= IMAGES_FOR_PROCESSES and sys.executable:
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
    started: list[subprocess.Popen[bytes]] = []
    idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
    program = (
        f"import sys; sys.path[:] = {_search_path()!r}; "
        "from nkca.data.workers import serve_calls; serve_calls()"
    )

    def call(function: Callable[[Any], Any], argument: Any) -> Any:
        process = idle.get()
        try:
            return _call_in_process(process, function, argument)
        finally:
            idle.put(process)

    try:
        for _ in range(count):
            started.append(_start([sys.executable, "-c", program]))
            idle.put(started[-1])
        yield call
    finally:
        for process in started:
            process.kill()
        for process in started:
            with contextlib.suppress(
                OSError
            ):  # the pipe may have unflushed bytes for the killed process
                process.communicate()


def _search_path() -> list[str]:
    """`sys.path` for the processes, absolute; without relative entries if the folder is deleted."""
    try:
        return [os.path.abspath(path) for path in sys.path]  # noqa: PTH100
    except FileNotFoundError:
        return [path for path in sys.path if os.path.isabs(path)]  # noqa: PTH117


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # in a folder that exists, or Python may not start
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=os.sep
        )
    except OSError as error:
        raise InputError(
            f"cannot start a process that decodes images: {error.strerror}; data_workers=1 needs none"
        ) from error


def _call_in_process(
    process: "subprocess.Popen[bytes]", function: Callable[[Any], Any], argument: Any
) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        pickle.dump((function, argument), process.stdin, pickle.HIGHEST_PROTOCOL)
        process.stdin.flush()
        succeeded, result = pickle.load(process.stdout)
    except BaseException as error:
        process.kill()  # or the rest of this answer would be read as the next one
        if not isinstance(error, (OSError, EOFError, pickle.UnpicklingError)):
            raise
        raise InputError(
            "a process that decodes images has ended (out of memory, or a crash of Pillow?); "
            "data_workers=1 decodes without processes"
        ) from error
    if not succeeded:
        raise result
    return result


def serve_calls() -> None:
    """Serve calls until the input ends: (function, argument) in, (succeeded, result) out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the calling process handles Ctrl-C
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that prints do not mix with the answers
    with contextlib.suppress(EOFError, BrokenPipeError, ValueError), answers:
        while True:
            _serve_call(sys.stdin.buffer, answers)


def _serve_call(calls: IO[bytes], answers: IO[bytes]) -> None:
    function, argument = pickle.load(calls)
    try:
        answer = _pickled((True, function(argument)))
    except Exception as error:  # raised in the calling process
        try:
            answer = _pickled((False, error))
        except Exception:
            answer = _pickled((False, RuntimeError(f"{type(error).__name__}: {error}")))
    answers.write(answer)
    answers.flush()


def _pickled(answer: tuple[bool, Any]) -> bytes:
    """The pickled answer; raises the error if it cannot be pickled or unpickled."""
    packed = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    pickle.loads(packed)
    return packed

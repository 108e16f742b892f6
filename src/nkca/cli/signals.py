"""What SIGINT, SIGTERM and SIGHUP do to a command."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does; what is ignored stays ignored."""

    def receive(number: int, _: FrameType | None) -> None:
        if number != signal.SIGTERM:
            _silence()
        raise KeyboardInterrupt

    with _handling(("SIGTERM", "SIGHUP"), receive):
        yield


@contextmanager
def _handling(
    names: Sequence[str], receive: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Call ``receive`` for these signals while the block runs, but for those that are ignored."""
    numbers = [
        getattr(signal, name) for name in names if hasattr(signal, name)
    ]  # Windows: no SIGHUP
    heard = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence() -> None:
    """The terminal is gone: what would be printed there goes nowhere instead of failing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


@contextmanager
def stop_on_signal(silent: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGINT, SIGTERM or SIGHUP came; a second one ends at once.

    What is ignored stays ignored: under nohup, SIGHUP. After SIGHUP the terminal is gone: what would
    be printed there goes nowhere instead of failing.
    """
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        if number not in (signal.SIGINT, signal.SIGTERM):
            _silence()
        if not silent:
            click.echo("\nstopping after this step; once more to stop at once", err=True)

    with _handling(("SIGINT", "SIGTERM", "SIGHUP"), receive):
        yield lambda: bool(received)

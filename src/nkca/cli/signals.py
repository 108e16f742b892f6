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
    """SIGTERM and SIGHUP end the block as Ctrl-C does; ignored signals stay ignored."""

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
    """Call ``receive`` for these signals while the block runs, except for ignored ones."""
    numbers = [
        getattr(signal, name) for name in names if hasattr(signal, name)
    ]  # Windows: no SIGHUP
    handled = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence() -> None:
    """Discard output from now on, as printing to a closed terminal would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


@contextmanager
def stop_on_signal(silent: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGINT, SIGTERM or SIGHUP came; a second one ends at once.

    Signals that are ignored stay ignored, such as SIGHUP under nohup. After SIGHUP output is discarded.
    """
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        if number not in (signal.SIGINT, signal.SIGTERM):
            _silence()
        if not silent:
            click.echo("\nstopping after this step; Ctrl-C again stops at once", err=True)

    with _handling(("SIGINT", "SIGTERM", "SIGHUP"), receive):
        yield lambda: bool(received)

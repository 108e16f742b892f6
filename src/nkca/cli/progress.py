"""What people see while a command works: progress and messages, on stderr."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from nkca.config.parsing import duration

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_SECONDS = 10.0  # between lines of progress where there is no terminal
BAR_COLUMNS = 8  # a shorter bar is left out
FORECAST_SECONDS = 3.0  # of work that are measured before what takes more than `LONG` is announced
LONG = 60.0


class ProgressBar:
    """A bar with the time left on a terminal, a line now and then elsewhere, nothing when quiet."""

    def __init__(self, quiet: bool, long_work: str = "") -> None:
        """``long_work``: what is said of unnamed work that takes long, "{}" being the time it takes."""
        self.quiet, self._long_work = quiet, long_work
        self._label: str | None = None
        self._bar: tqdm[Any] | None = None
        self._first = self._done = self._began = self._last_line = 0.0
        self._is_announced = False

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(
        self, label: str, done: float, total: int, unit: str = "", note: str | None = None
    ) -> None:
        """Show that ``done`` of ``total`` are done; a new ``label``, or less done, begins a new bar.

        Args:
            label: of the work, said when it begins; empty where the command does nothing else.
            unit: what is counted, in the plural.
            note: what to show in place of the count, which on a terminal follows where there is room.
        """
        if self.quiet:
            return
        if label != self._label or done < self._done:
            self._begin(label, done, total)
        self._done, now = done, time.monotonic()
        rate = (done - self._first) / max(now - self._began, 1e-9)
        left = f"{duration((total - done) / rate)} left" if rate > 0 else None
        speed = (f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}") + (unit and f" {unit}") + "/s"
        if rate > 0 and now - self._began >= FORECAST_SECONDS and not self._is_announced:
            self._is_announced = True
            if (total - done) / rate > LONG:
                text = f"{label}: {total:,} take about {{}}" if label else self._long_work
                self._say(text.format(duration((total - done) / rate)))
        count = f"{int(done):,} of {total:,} {unit}".rstrip()
        needed = ", ".join(filter(None, [note or count, left]))
        if self._bar is not None:
            self._bar.total = total
            self._set_text(label and f"{label}: ", needed, [speed, count] if note else [speed])
            self._bar.update(min(int(done), total) - self._bar.n)
        elif left is not None and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            click.echo((f"{label}: " if label else "") + f"{needed}, {speed}", err=True)

    def _set_text(self, head: str, needed: str, more: list[str]) -> None:
        """Set what stands beside the bar; in a narrow terminal less of it, then no bar and no head."""
        assert self._bar is not None
        columns = self._bar.ncols = _columns() - 1
        texts = [", ".join([head + needed, *more[:count]]) for count in (2, 1, 0)]
        beside = (text for text in texts if len(text) <= columns - len("100% || ") - BAR_COLUMNS)
        text = next(beside, "")
        self._bar.bar_format = "{percentage:3.0f}% |{bar}| {desc}" if text else "{desc}"
        short = texts[-1] if len(texts[-1]) <= columns else needed.replace(", ", " ")
        self._bar.set_description_str(text or short, refresh=False)

    def on_decode(self, done: int, total: int) -> None:
        """Show the decoding of images; ``total`` counts each twice, as two passes read it."""
        self("decoding images", done / 2, total // 2)

    def _say(self, text: str) -> None:
        from tqdm import tqdm

        if text:
            tqdm.write(text, file=sys.stderr)

    def _begin(self, label: str, done: float, total: int) -> None:
        from tqdm import tqdm

        self.__exit__()
        self._label, self._first = label, done
        self._began = self._last_line = time.monotonic()
        self._is_announced = False
        if sys.stderr.isatty():
            self._bar = tqdm(
                desc=label,
                total=total,
                initial=min(int(done), total),
                ncols=_columns() - 1,
                nrows=24,  # some terminals say that they have none, and would show no bar
                bar_format="{percentage:3.0f}% |{bar}| {desc}",
            )
        elif label:
            click.echo(f"{label}: {total:,}", err=True)


def _columns() -> int:
    """The width of the terminal: what COLUMNS says, else what the terminal says."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 1:
        return int(said)
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


@contextmanager
def messages(quiet: bool = False, silent: bool = False) -> Iterator[None]:
    """Show what the library logs on stderr, above a progress bar if there is one.

    Args:
        quiet: only warnings and errors.
        silent: nothing, as another process shows the same.
    """
    from tqdm import tqdm

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tqdm.write(self.format(record), file=sys.stderr)

    level = logging.WARNING if quiet else logging.INFO
    handler = Handler(logging.CRITICAL + 1 if silent else level)
    handler.addFilter(lambda record: record.name != "nkca.progress")  # which the bar shows
    logger = logging.getLogger("nkca")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate

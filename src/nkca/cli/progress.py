"""Progress for people: bars on a terminal, lines elsewhere."""

import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tqdm import tqdm


class Bars:
    """A progress bar with the time left, a new one for each label; off a terminal a line for each."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self._label = quiet, ""
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, label: str, done: float, total: int) -> None:
        """Take the news that ``done`` of ``total`` are done of what ``label`` names."""
        from tqdm import tqdm

        if self._bar is None or label != self._label:
            self.__exit__()
            hidden = self.quiet or not sys.stderr.isatty()
            if hidden and not self.quiet:
                click.echo(f"{label}: {total:,}", err=True)
            self._label = label
            self._bar = tqdm(desc=label, total=total, disable=hidden, dynamic_ncols=True)
        self._bar.update(int(done) - self._bar.n)

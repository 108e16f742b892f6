"""Tables of cases that one test goes through."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Row = TypeVar("Row")


def each(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows in turn, printed, each on a line: pytest shows the last one of a test that fails."""
    for row in rows:
        print(" ".join(repr(row).split())[:300])
        yield row

"""Tables of cases that one test goes through."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Row = TypeVar("Row")


def each(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows in turn, printed: the last line that pytest shows of a failed test names its row."""
    for row in rows:
        print(row)
        yield row

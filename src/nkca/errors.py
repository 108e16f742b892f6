"""Input errors: one line for the user, exit code 2."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class InputError(ValueError):
    """Bad input: one line that says what was wrong, what was expected and which file.

    The commands print it without a traceback and exit with code 2.
    """


def named(table: Mapping[str, T], name: str, kind: str) -> T:
    """The entry ``name`` of a table; raises `InputError` that names the nearest."""
    if name not in table:
        known = ", ".join(table)
        raise InputError(f"no {kind} is called '{name}'{nearest(name, table)}: there are {known}")
    return table[name]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'X'?)`` for the closest of ``known``, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f" (did you mean '{close[0]}'?)" if close else ""


@contextlib.contextmanager
def out_of_memory_advice(advice: str) -> Iterator[None]:
    """Turn running out of memory, on any device, into an `InputError` that ends with ``advice``."""
    try:
        yield
    except MemoryError as error:
        raise InputError(f"out of memory {advice}") from error
    except RuntimeError as error:  # PyTorch's own kinds, told apart by their words alone
        said = ("out of memory", "can't allocate memory", "not enough memory")
        if not any(words in str(error).lower() for words in said):
            raise
        raise InputError(f"out of memory {advice}") from error


def require(condition: bool, name: str, expected: str, value: object) -> None:
    """Raise `InputError` naming the option unless ``condition`` holds."""
    if not condition:
        raise InputError(f"{name} must be {expected}, got {value}")

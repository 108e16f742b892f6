"""The one exception that is the user's to mend."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: one line that says what was wrong, what was expected and which file.

    The commands print it without a traceback and exit with code 2.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'X'?)`` for the closest of ``known``, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""

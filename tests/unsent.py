"""What processes that decode cannot send: in a module of its own, which they can import."""

import threading
from collections.abc import Callable


class TwoPartError(Exception):
    """Cannot be unpickled: its `args` are one text, its `__init__` wants two."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")


class Unreturnable:
    """Can be pickled, not unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return divmod, (1, 0)


def answer(kind: str) -> object:
    """What a process does not get through a pipe."""
    if kind == "error":
        raise TwoPartError("a.png", "odd")
    return Unreturnable() if kind == "one way" else threading.Lock()

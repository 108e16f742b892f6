"""Cancel an evaluation of a network that no request waits for any more."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch.nn.modules.module import register_module_forward_pre_hook


class Interrupted(Exception):  # noqa: N818  (nothing is wrong)
    """The evaluation was given up; nothing has changed."""


@contextlib.contextmanager
def interruptible(unwanted: Callable[[], bool]) -> Iterator[None]:
    """Raise `Interrupted` before the next layer of any network once ``unwanted()`` is true."""

    def check(*_: Any) -> None:
        if unwanted():
            raise Interrupted

    handle = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()

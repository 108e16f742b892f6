"""How an option of a run is declared."""

from dataclasses import field
from typing import Any


def option(default: Any, text: str, choices: tuple[Any, ...] = ()) -> Any:
    """A dataclass field with its help text and, if any, its only values."""
    return field(default=default, metadata={"help": text, "choices": choices})

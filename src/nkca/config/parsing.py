"""Text, as a person or a YAML file writes it -> numbers, truth values and lists."""

import re
import typing
from typing import Any

DURATION = "a time such as 90 (seconds), 30m or 1h30m"
SIZE = "an amount of memory such as 8G or 800M"


def convert(hint: Any, value: Any) -> Any:
    """Make ``value`` an int, float, bool, str or tuple of one of them, as ``hint`` says.

    Raises:
        TypeError, ValueError, OverflowError: if it cannot be.
    """
    if typing.get_origin(hint) is tuple:
        items = re.split(r"[,\s]+", value.strip("[]() \t")) if isinstance(value, str) else value
        item = typing.get_args(hint)[0]
        return tuple(
            convert(item, v.strip("'\"") if isinstance(v, str) else v) for v in items if v != ""
        )
    if hint is bool:
        words = {"true": True, "yes": True, "false": False, "no": False}
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        if isinstance(value, bool):
            return value
        raise ValueError
    if isinstance(value, bool) or (hint is str and not isinstance(value, str)):
        raise TypeError
    if hint is int and float(value) != int(float(value)):
        raise ValueError
    if hint is int and isinstance(value, float):
        return int(value)
    return hint(value)


def describe(hint: Any) -> str:
    """What a value of the type ``hint`` looks like, in words."""
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(typing.get_args(hint))
    return {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        tuple[int, ...]: "a list of whole numbers such as [1, 2]",
        tuple[str, ...]: "a list of names such as [fliph]",
    }[hint]


def parse_duration(value: str | float) -> float:
    """Seconds from ``90``, ``"90"``, ``"45s"``, ``"30m"`` or ``"1h30m"``.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, bool):
        raise ValueError
    if not isinstance(value, str):
        return float(value)
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", value.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def parse_size(value: str | float) -> int:
    """Bytes from ``8G``, ``800M``, ``"1.5 GiB"`` or a number of bytes; K, M, G and T are powers of 1024.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, bool):
        raise ValueError
    match = re.fullmatch(r"([\d.]+)\s*([kmgt]?)(?:i?b)?", str(value).strip().lower())
    if match is None:
        raise ValueError
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))

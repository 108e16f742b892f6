"""Text, as a person or a YAML file writes it -> numbers, truth values and lists."""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from nkca.config.cadence import CadenceConfig
from nkca.config.data import DataConfig
from nkca.config.every import Every
from nkca.config.image_size import EXPECTED, parse_image_size
from nkca.config.other_names import OPTIONS_ELSEWHERE, canonical, choice_of, instead, names_here
from nkca.config.sampling import SamplingConfig
from nkca.config.schema import ModelConfig, RunConfig, TrainingConfig
from nkca.errors import InputError, nearest
from nkca.system.files import write_text

DURATION = "a time such as 90 (seconds), 30m or 1h30m"
EVERY = "a number of steps, a time such as 5m, or images seen such as 100kimg"
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


def duration(seconds: float) -> str:
    """``1:02:03``; from two days on ``9 days``."""
    whole = max(0, round(seconds))
    if whole >= 2 * 86400:
        return f"{round(seconds / 86400):,} days"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def parse_duration(value: str | float) -> float:
    """Seconds from ``90``, ``"90"``, ``"45s"``, ``"30m"``, ``"30min"`` or ``"1h30m"``.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, bool):
        raise ValueError
    if not isinstance(value, str):
        return float(value)
    pattern = r"(?:([\d.]+)h)?(?:([\d.]+)m(?:in)?)?(?:([\d.]+)(?:s|sec)?)?"
    match = re.fullmatch(pattern, value.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def parse_every(value: str | float | Every) -> Every:
    """An interval from ``250`` or ``"250"`` (steps), ``"5m"`` (time) or ``"100kimg"`` (images seen).

    Raises:
        ValueError, OverflowError: for anything else.
    """
    if isinstance(value, Every):
        return value
    if isinstance(value, bool):
        raise ValueError
    text = str(value).strip().lower()
    images = re.fullmatch(r"([\d.]+)\s*([km]?)(?:img|imgs|images)", text)
    try:
        if images is not None:
            return Every(float(images[1]) * 1000 ** " km".index(images[2] or " "), "images")
        if re.search("[hms]", text):
            return Every(parse_duration(text), "seconds")
        if float(text) != int(float(text)):
            raise ValueError
        return Every(int(float(text)))
    except InputError:  # below 0
        raise ValueError from None


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


DURATIONS = ("max_time", "eval_time")  # options in seconds that may be written 1h30m


SIZES = ("max_memory",)  # options in bytes that may be written 8G


INTERVALS = ("checkpoint_freq", "viz_freq", "eval_freq")  # steps, images or time


SPELLINGS: dict[str, tuple[Callable[[Any], Any], str]] = {  # how a value is read, what is expected
    **dict.fromkeys(DURATIONS, (parse_duration, DURATION)),
    **dict.fromkeys(SIZES, (parse_size, SIZE)),
    **dict.fromkeys(INTERVALS, (parse_every, EVERY)),
    "resize": (parse_image_size, EXPECTED),
}


SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "sampling": SamplingConfig,
    "cadence": CadenceConfig,
}


OPTIONS: dict[str, dataclasses.Field[Any]] = {
    f.name: f for section in SECTIONS.values() for f in dataclasses.fields(section)
}


TYPES: dict[str, Any] = {
    name: hint for s in SECTIONS.values() for name, hint in typing.get_type_hints(s).items()
}


def field_name(key: object) -> str:
    """The field that a key of a YAML file or mapping means: `dim-mults` is `dim_mults`."""
    return canonical(str(key)).replace("-", "_")


def _instead_of_option(key: str) -> str:
    """Return ``: use X`` or the nearest option to an unknown one, or an empty string."""
    for ours in names_here(key, OPTIONS_ELSEWHERE):
        name, *value = ours.split("=")
        if field_name(name) in OPTIONS:
            return f": use {'='.join([field_name(name), *value])}"
    return nearest(key, OPTIONS)


def configure(options: Mapping[str, Any], source: str = "") -> RunConfig:
    """Build a `RunConfig` from a flat mapping; what is not named has its default.

    Args:
        options: option names to values; strings are parsed as on the command line.
        source: said in error messages, the file's name for one.

    Raises:
        InputError: for an unknown name (with the nearest one), a wrong type or a value out of range.
    """
    prefix = f"{source}: " if source else ""
    values: dict[str, Any] = {}
    for key, value in options.items():
        name = field_name(key)
        if name not in OPTIONS:
            raise InputError(f"{prefix}unknown option '{key}'{_instead_of_option(name)}")
        try:
            values[name] = parse_value(name, value)
        except InputError as error:
            raise InputError(f"{prefix}{error}") from None
    try:
        sections = {
            label: section(
                **{f.name: values[f.name] for f in dataclasses.fields(section) if f.name in values}
            )
            for label, section in SECTIONS.items()
        }
        return RunConfig(**sections)
    except InputError as error:
        raise InputError(f"{prefix}{error}") from None


def parse_value(name: str, value: Any) -> Any:
    """Convert ``value`` (from YAML, JSON, Python or the command line) to the type of option ``name``."""
    choices = OPTIONS[name].metadata["choices"]
    if isinstance(value, bool) and "off" in choices:  # YAML reads on and off as true and false
        value = "on" if value else "off"
    text = value.strip().lower() if isinstance(value, str) else value
    if isinstance(value, str):
        value = choice_of(value.strip(), map(str, choices)) or value
    hints = typing.get_args(TYPES[name]) if _is_union(TYPES[name]) else (TYPES[name],)
    if type(None) in hints and text in (None, "", "none", "null"):
        return None
    words = [hint for hint in hints if typing.get_origin(hint) is Literal]
    if any(text in typing.get_args(hint) for hint in words):
        return text
    hint = hints[0]
    parse, expected = SPELLINGS.get(name) or (
        lambda value: convert(hint, value),
        " or ".join(map(describe, [hint, *words])),
    )
    try:
        parsed = parse(value)
    except (TypeError, ValueError, OverflowError):
        nearby = instead(str(value), map(str, choices))
        raise InputError(f"{name} must be {expected}, got {value!r}{nearby}") from None
    if choices and parsed not in choices:
        raise InputError(
            f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}"
            + instead(str(value), map(str, choices))
        )
    return parsed


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a flat mapping of options.

    Raises:
        InputError: if the file is missing, is not YAML, or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no such config file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read config file {path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InputError(f"{path} is not valid YAML{where}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold 'option: value' lines, got {type(content).__name__}")
    return content


def write_yaml(path: Path, config: RunConfig) -> None:
    """Write the resolved config so that `configure(read_yaml(path))` gives it back."""
    text = yaml.safe_dump(config.to_flat(), sort_keys=False, default_flow_style=None)
    write_text(path, "# The resolved configuration: nkca-train --config THIS_FILE\n" + text)

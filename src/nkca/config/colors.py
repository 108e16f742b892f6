"""Colours and labels as text: "#rrggbb", "#rrggbbaa", "3=dress"."""

from typing import TypeAlias

from PIL import ImageColor

from nkca.errors import InputError

Color: TypeAlias = tuple[int, ...]
"""Grey, RGB or RGBA in 0..255."""

MOST_COLORS = 256


def parse_colors(texts: tuple[str, ...]) -> tuple[Color, ...]:
    """Colours from texts such as "#ff8800" or "#ff880080", all with alpha if any has.

    Raises:
        InputError: if one is not a colour, or occurs twice.
    """
    try:
        colors: list[Color] = [ImageColor.getrgb(text) for text in texts]
    except ValueError as error:
        raise InputError(f"palette: {error}; expected colours such as #ff8800") from None
    if any(len(color) == 4 for color in colors):
        colors = [color if len(color) == 4 else (*color, 255) for color in colors]
        colors = [(0, 0, 0, 0) if color[-1] == 0 else color for color in colors]
    if len(set(colors)) < len(colors):
        raise InputError("palette: a colour occurs twice")
    return tuple(colors)


def color_text(color: Color) -> str:
    """Such as "#ff8800"; grey, of one number, as its colour."""
    return "#" + "".join(f"{level:02x}" for level in (color * 3 if len(color) == 1 else color))


def parse_labels(texts: tuple[str, ...]) -> dict[int, str]:
    """Ids and names, which may be empty, from texts such as "3=dress" or "3".

    Raises:
        InputError: if one has no id in 0..255, or an id occurs twice.
    """
    labels: dict[int, str] = {}
    for text in texts:
        number, _, name = text.partition("=")
        if not number.isdecimal() or int(number) > 255 or int(number) in labels:
            raise InputError(f"labels: '{text}' is not a new id of 0 to 255 such as 3=dress")
        labels[int(number)] = name
    return labels


def label_text(number: int, name: str) -> str:
    """What `parse_labels` reads; characters that would end the text in a list become underscores."""
    plain = "".join("_" if c in ",[]()'\"" or c.isspace() else c for c in name)
    return f"{number}={plain}" if plain else str(number)

"""Masks that name labels: of a label map, repaint the pixels that are certain ids."""

import re

import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.pixels import PalettePixels, Pixels

PREFIX = "labels:"


def names_labels(mask: str) -> bool:
    """Whether a mask names labels, as in "labels:3,7", and not a file: one of that name is ./labels:3,7."""
    return mask.startswith(PREFIX)


def label_mask(mask: str, picture: Tensor, pixels: Pixels, invert: bool = False) -> Tensor:
    """Where a label map has one of the labels named, bool (1, H, W); ``invert``: where it has others.

    Args:
        mask: "labels:" and ids.
        picture: the map in its labels' colours, uint8 (C, H, W).

    Raises:
        InputError: if the text is none such, an id is not one of the model's, its pixels are no labels,
            or nothing would be repainted.
    """
    text = mask.removeprefix(PREFIX)
    if not isinstance(pixels, PalettePixels) or pixels.ids is None:
        raise InputError(f"mask {mask} is for models of label maps, which this one is not")
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", text, re.ASCII):
        raise InputError(f"mask {mask}: expected ids such as {PREFIX}3,7")
    asked = {int(number) for number in text.split(",")}
    if unknown := sorted(asked.difference(pixels.ids)):
        there = ", ".join(map(str, pixels.ids))
        raise InputError(
            f"mask {mask}: the model has no label {unknown[0]}, its labels are {there}"
        )
    chosen = torch.tensor([number in asked for number in pixels.ids])
    repaint = chosen[pixels.to_state(picture[None])[0]] != invert
    if not repaint.any():
        raise InputError(
            f"mask {mask} repaints nothing: the image has {'only' if invert else 'none of'} these labels"
        )
    return repaint

"""Colours that a user paints on a picture, and that the chain then makes real.

The painted picture is noised to a level: a state that the chain could be in if the picture were data. The
higher the level, the more the chain changes of it, so that its steps lead from strokes to pictures like
the data (Meng et al. 2022, SDEdit, arXiv 2108.01073, with a chain in place of the way down).
"""

import dataclasses

import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.live.chains import events
from nkca.live.chains.exact_image import read_exact_image
from nkca.live.chains.finish import picture_of
from nkca.live.chains.masks import parse_pace
from nkca.live.chains.starting import noised
from nkca.live.chains.tiles import Tiles, copy_tile, with_value
from nkca.live.chains.walking import predict, with_pictures
from nkca.models.model import Model


def paint_colours(model: Model, present: Tiles, source: Tiles, event: events.Colour) -> Tiles:
    """The moment in which a tile of ``source`` has the strokes of the event, and is at its level.

    Raises:
        InputError: if the level is below the model's lowest, or the strokes are no such picture.
    """
    if event.level < model.min_noise:
        raise InputError(f"the noise level must be {model.min_noise:g} to 1, got {event.level:g}")
    rows = present.free if event.everywhere else [event.tile]
    if not rows:
        raise InputError("all tiles are locked")
    below = picture_of(model, source, event.tile, event.finished)
    painted = painted_over(below, event, model.data_shape)
    moved = copy_tile(present, rows, source, event.tile)
    pictures, x = moved.pictures.clone(), moved.x.clone()
    pictures[rows] = painted
    x[rows] = noised(model, present, rows, pictures[rows], event.level)
    levels = with_value(moved.levels, rows, event.level)
    moved = dataclasses.replace(
        moved,
        x=x,
        levels=levels,
        pictures=pictures,
        noise_level=event.level,
        ahead=(),
        change=None,
    )
    return with_pictures(model, moved, predict(model, moved, rows))


def painted_over(picture: Tensor, event: events.Colour, data_shape: tuple[int, int, int]) -> Tensor:
    """A picture, uint8 (C, H, W), with the strokes of the event over it.

    Raises:
        InputError: if the strokes are not of the model's size, or no picture.
    """
    _, height, width = data_shape
    is_painted = parse_pace(event.mask, height, width) > 0
    image = read_exact_image(event.image, data_shape)[0]
    return torch.where(is_painted, image, picture)

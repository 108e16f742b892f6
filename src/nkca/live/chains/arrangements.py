"""New tiles from one or two of them: variants at several levels, and mixtures.

Every state is one that the chain could be in at its level. A variant is the noised picture. A mixture of
the states x and x' at level b, with weights u and 1 - u, is

    u x + (1 - u) x' + sqrt(b (1 - u² - (1 - u)²)) e        with e ~ N(0, 1):

if x and x' are the clean z and z' noised independently, its mean is a (u z + (1 - u) z') and its variance
b, so it is the clean mixture, noised. Of categories a mixture has each pixel from x with probability u,
else from x': whether a pixel is scrambled keeps its probability.
"""

import dataclasses
import math

import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.live.chains.tiles import Tiles, copy_tile
from nkca.live.chains.walking import predict, with_pictures
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed

FAN_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6)


def fan(model: Model, moment: Tiles, source: Tiles, tile: int, picture: Tensor) -> Tiles:
    """The free tiles as variants of a tile of ``source``: levels rise from the first to the last.

    Args:
        picture: of that tile, uint8 (C, H, W): what is noised.

    Raises:
        InputError: if all tiles are locked.
    """
    rows = _free(moment, 1)
    each = math.ceil(len(rows) / len(FAN_LEVELS))
    rising = [FAN_LEVELS[place // each] for place in range(len(rows))]
    levels = [max(level, model.min_noise) for level in rising]
    copied = copy_tile(moment, rows, source, tile)
    z = model.pixels.to_state(picture[None].to(model.device)).expand(len(rows), *model.state_shape)
    b = torch.tensor(levels, device=model.device)
    noised = model.chain.kernel.add_noise(z, b).sample(_noise(moment, rows))
    return _shown(model, copied, rows, noised, levels)


def mix(model: Model, moment: Tiles, first: int, second: int) -> Tiles:
    """The free tiles as mixtures of two: from the first tile to the second, both among them.

    Raises:
        InputError: if fewer than three tiles are free, the two are at different levels or one of them
            holds pixels.
    """
    rows, level = _free(moment, 3), moment.levels[first]
    if level != moment.levels[second]:
        raise InputError("tiles at different levels cannot be mixed: let both walk at one level")
    if {first, second} & set(moment.masked):
        raise InputError("tiles that hold pixels cannot be mixed")
    weights = [1 - place / (len(rows) - 1) for place in range(len(rows))]
    u = torch.tensor(weights, device=model.device, dtype=torch.float64)
    ends = (moment.x[first], moment.x[second])
    mixed = mixture(*ends, u, level, _noise(moment, rows))
    copied = copy_tile(moment, rows, moment, first)
    return _shown(model, copied, rows, mixed, [level] * len(rows))


def mixture(one: Tensor, other: Tensor, weights: Tensor, level: float, noise: Noise) -> Tensor:
    """Mixtures of two states (C, H, W) at a level, (B, C, H, W), with weights (B,) of the first."""
    u = weights.view(-1, 1, 1, 1)
    if one.is_floating_point():
        fresh = (level * (1 - u.square() - (1 - u).square()).clamp(min=0)).sqrt()
        mixed = u * one + (1 - u) * other
        return (mixed + fresh * noise.normal(mixed)).to(one.dtype)
    from_one = noise.uniform(u.expand(len(u), *one.shape)) < u
    return torch.where(from_one, one, other)


def _shown(model: Model, moment: Tiles, rows: list[int], x: Tensor, levels: list[float]) -> Tiles:
    """The moment with these states and levels on some tiles, and their pictures."""
    states, every = moment.x.clone(), list(moment.levels)
    states[rows] = x
    for row, level in zip(rows, levels, strict=True):
        every[row] = level
    moved = dataclasses.replace(moment, x=states, levels=tuple(every), ahead=(), change=None)
    return with_pictures(model, moved, predict(model, moved, rows))


def _free(moment: Tiles, least: int) -> list[int]:
    if len(moment.free) < least:
        raise InputError(f"this needs {least} tile{'s' * (least > 1)} that are not locked")
    return moment.free


def _noise(moment: Tiles, rows: list[int]) -> Noise:
    return Noise([derive_seed("live arrange", moment.seed, moment.draw, row) for row in rows])

"""Walks by choices: a person's taste as the acceptance rule of the chain.

From the current state x the chain walks m steps to c, and from c, with fresh noise each time, m steps to
each of N states y_i at the same level. x and the y_i are offered in a random order, x unmarked; the one
that is taken is the next x.

The chain is reversible with respect to the law p of the noised data: p(x) K(x, c) = p(c) K(c, x). So given
c, x and the y_i are N + 1 independent draws from K(c, .). If a person takes each with a probability
proportional to its liking f > 0, the walk keeps the law p(x) f(x) / Z: a walk that has it, has it after
each choice (Barker's rule, with all terms but f cancelled: Sanborn and Griffiths 2007; Harrison et al.
2020, arXiv 2008.02595). It does so exactly if the denoiser is exact, the level stays and f does not
change. f may depend on x by whatever is shown of it, such as finished pictures.
"""

import csv
import dataclasses
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nkca.chain import Chain
from nkca.errors import InputError
from nkca.live.chains.events import Choose
from nkca.live.chains.tiles import Tiles, copy_tile, with_value
from nkca.live.chains.walking import holding, predict, with_pictures
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed


@dataclass(frozen=True)
class Choice:
    """One choice; tiles count from 0.

    Args:
        version: of the moment with the offer.
        offered: the tiles that were offered.
        current: which of them had the current state.
        taken: which was taken.
        milliseconds: how long it took; None: not known.
    """

    version: int
    level: float
    steps: int
    offered: tuple[int, ...]
    current: int
    taken: int
    milliseconds: int | None = None


def choice_of(moment: Tiles, event: Choose) -> Choice | None:
    """The choice that the event makes among the tiles of a moment; None if they were not offered."""
    if moment.offered != moment.version or event.tile not in moment.free or moment.current is None:
        return None
    level, free = moment.noise_level, tuple(moment.free)
    return Choice(
        moment.version, level, event.steps, free, moment.current, event.tile, event.milliseconds
    )


def offer(model: Model, moment: Tiles, source: Tiles, tile: int, steps: int) -> Tiles:
    """The moment in which a tile of ``source`` and proposals made from it are on all free tiles.

    A tile at another level than the chains' makes one transition to that level first.

    Raises:
        InputError: unless at least two tiles are free.
    """
    rows = moment.free
    if len(rows) < 2:
        raise InputError("a choice needs at least two tiles that are not locked")
    level = moment.noise_level
    seeds = {row: derive_seed("live choose", moment.seed, moment.draw, row) for row in (-1, *rows)}
    noise, way = Noise([seeds[-1]]), [level] * (steps + 1)
    current = source.x[tile : tile + 1]
    chain = holding(model, model.chain, source, [tile])
    if source.levels[tile] != level:
        current = _walk(chain, current, [source.levels[tile], level], noise)
    origin = _walk(chain, current, way, noise)
    place = rows[seeds[-1] % len(rows)]
    others = [row for row in rows if row != place]
    origins = origin.expand(len(others), *origin.shape[1:])
    copied = copy_tile(moment, rows, source, tile)
    x = copied.x.clone()
    x[place] = current[0]
    x[others] = _walk(chain, origins, way, Noise([seeds[row] for row in others]))
    levels = with_value(copied.levels, rows, level)
    version = moment.version + 1
    offered = dataclasses.replace(
        copied,
        x=x,
        levels=levels,
        ahead=(),
        change=None,
        picked=None,
        offered=version,
        current=place,
    )
    return with_pictures(model, offered, predict(model, offered, rows))


def _walk(chain: Chain, x: Tensor, levels: Sequence[float], noise: Noise) -> Tensor:
    """The states after steps from x (B, C, H, W) through ``levels``; they share no noise: so reversible."""
    for level_x, level_y in itertools.pairwise(levels):
        b_x, b_y = (torch.full((len(x),), b, device=x.device) for b in (level_x, level_y))
        x = chain.move(x, b_x, b_y, chain.believe(x, b_x)).sample(noise)
    return x


def choices_csv(choices: Sequence[Choice]) -> bytes:
    """One line for each choice, with a head; tiles count from 1, as on the page."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("choice", "version", "level", "steps", "offered", "current", "taken", "milliseconds")
    )
    for number, one in enumerate(choices, 1):
        offered = " ".join(str(tile + 1) for tile in one.offered)
        time = "" if one.milliseconds is None else one.milliseconds
        row = (number, one.version, one.level, one.steps, offered, one.current + 1, one.taken + 1)
        writer.writerow((*row, time))
    return text.getvalue().encode()

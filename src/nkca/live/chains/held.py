"""What all tiles have in common with one picture while they walk: means of its blocks, or its grey values.

The chain walks under that condition (`nkca.sampling.known`), so tiles differ in all that it leaves open:
details over one coarse structure, or colourings of one picture. It is exact in the bytes that are shown.
Locked tiles have no part in it.
"""

import dataclasses
from dataclasses import dataclass

from torch import Tensor

from nkca.live.chains.starting import noised
from nkca.live.chains.tiles import Tiles, copy_tile
from nkca.models.model import Model
from nkca.pixels import ContinuousPixels
from nkca.sampling.exact_bytes import luma
from nkca.sampling.known import coarse, grey_values
from nkca.sampling.tasks import Known


@dataclass(frozen=True)
class Held:
    """A picture, and what all tiles have in common with it.

    Args:
        side: of the blocks of pixels whose means are held; 0: grey values are.
        picture: uint8 (1, C, H, W) on the CPU.
    """

    side: int
    picture: Tensor

    def known(self) -> Known:
        """It as a condition of the chain; raises `InputError` if the blocks do not divide the picture."""
        return coarse(self.picture, self.side) if self.side else grey_values(luma(self.picture))


def hold(model: Model, moment: Tiles, source: Tiles, tile: int, held: Held) -> Tiles:
    """All unlocked tiles as a tile of ``source`` whose picture is held, noised afresh to its level.

    Raises:
        InputError: if it cannot be held with this model.
    """
    held.known().condition(model)
    rows = moment.free
    moved = copy_tile(moment, rows, source, tile)
    pictures, x = moved.pictures.clone(), moved.x.clone()
    pictures[rows] = held.picture
    x[rows] = noised(model, moment, rows, pictures[rows], source.levels[tile])
    return dataclasses.replace(moved, x=x, pictures=pictures, held=held)


def sides_for(model: Model) -> tuple[int, ...]:
    """The sides of blocks that can be held: 2 pixels and more, two blocks and more; () of categories."""
    _, height, width = model.data_shape
    if not isinstance(model.pixels, ContinuousPixels):
        return ()
    sides = range(2, min(height, width) // 2 + 1)
    return tuple(side for side in sides if height % side == 0 == width % side)

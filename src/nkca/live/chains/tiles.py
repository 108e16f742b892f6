"""The tiles of the live page, one chain each: a value, and the changes to it that compute nothing.

All noise is a function of (seed, draw, tile). `Tiles.draw` counts the versions since the last restart, and
an undo makes a new version: an action repeated after an undo gets new noise, and a session replayed from
its start gets the same noise.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from nkca.noise import Noise, derive_seed

if TYPE_CHECKING:
    from nkca.live.chains.held import Held

Value = TypeVar("Value")
FULL_PACE = 255


@dataclass(frozen=True)
class Tiles:
    """The tiles at one moment: all that is needed to continue and to show them; B chains.

    Args:
        version: of this moment; every change increases it, undo included.
        origin: the version at the last restart; -1 before the first.
        step: transitions since the last restart.
        x: noisy states, (B, C, H, W).
        levels: the noise level of each row of x.
        pictures: the mode of p(z|x), uint8 (B, C, H, W) on the CPU; held pixels keep their exact value.
        pace: uint8 (B, 1, H, W) on the CPU: how much of a step each pixel makes, in 255ths; 0: it is held.
        noise_level: the level of the next step, except during an anneal.
        ahead: the remaining levels of an anneal.
        locked: which tiles steps do not change.
        picked: the selected tile, if any.
        change: mean absolute change of the pictures in the last step, 0 to 1; None: no step led here.
        label: the last action, in words.
        labelled: the version at which it happened.
        stepped: the version that the last step led to.
        only: the one tile that it moved; None: all free ones.
        offered: the version at which these tiles were offered for a choice, see `nkca.live.chains.choices`.
        current: the tile with the state from which that offer was made.
        from_prior: tiles begin at the prior where the model samples by its chain: in old sessions.
        held: what all tiles that are not locked have in common with a picture.
    """

    version: int
    origin: int
    seed: int
    step: int
    x: Tensor
    levels: tuple[float, ...]
    pictures: Tensor
    pace: Tensor
    noise_level: float
    locked: tuple[bool, ...]
    ahead: tuple[float, ...] = ()
    picked: int | None = None
    change: float | None = None
    label: str = "start"
    labelled: int = 0
    stepped: int = -1
    only: int | None = None
    offered: int = -1
    current: int | None = None
    from_prior: bool = False
    held: "Held | None" = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def draw(self) -> int:
        """The index of the noise that the next change draws."""
        return self.version - self.origin

    @property
    def free(self) -> list[int]:
        """The tiles that are not locked."""
        return [tile for tile, locked in enumerate(self.locked) if not locked]

    def walking(self, only: int | None) -> list[int]:
        """The tiles that a step of one tile, or of all if None, moves."""
        return [tile for tile in self.free if only in (None, tile)]

    @property
    def repaint(self) -> Tensor:
        """Where pixels may change: bool (B, 1, H, W) on the CPU."""
        return self.pace > 0

    @property
    def masked(self) -> list[int]:
        """The tiles of which some pixels are held, or make less than whole steps."""
        return torch.nonzero((self.pace < FULL_PACE).flatten(1).any(1)).flatten().tolist()

    def holds_any(self, rows: Sequence[int]) -> bool:
        """Whether some of these tiles hold something."""
        return self.held is not None or not set(rows).isdisjoint(self.masked)

    def nbytes(self) -> int:
        """The bytes of its tensors."""
        return sum(t.nbytes for t in (self.x, self.pictures, self.pace))


def reseeded(moment: Tiles, seed: int) -> Tiles:
    """The moment as a restart: all noise from here on depends on the seed alone."""
    return dataclasses.replace(
        moment, seed=seed, origin=moment.version, step=0, ahead=(), change=None
    )


def copy_tile(moment: Tiles, tiles: Sequence[int], source: Tiles, tile: int) -> Tiles:
    """Copy a tile of ``source``, with its mask, to tiles of ``moment``."""
    rows = list(tiles)
    x, pictures, pace = moment.x.clone(), moment.pictures.clone(), moment.pace.clone()
    x[rows], pictures[rows], pace[rows] = source.x[tile], source.pictures[tile], source.pace[tile]
    levels = with_value(moment.levels, rows, source.levels[tile])
    return dataclasses.replace(moment, x=x, pictures=pictures, pace=pace, levels=levels)


def lock(moment: Tiles, tile: int, locked: bool) -> Tiles:
    """Lock or unlock a tile."""
    return dataclasses.replace(moment, locked=with_value(moment.locked, [tile], locked))


def with_value(values: tuple[Value, ...], rows: Sequence[int], value: Value) -> tuple[Value, ...]:
    """The values of all tiles, with another one for some."""
    return tuple(value if row in rows else old for row, old in enumerate(values))


def tile_noise(moment: Tiles, tiles: Sequence[int]) -> Noise:
    """The noise that the next change of some tiles draws."""
    return Noise([derive_seed("live", moment.seed, moment.draw, tile) for tile in tiles])

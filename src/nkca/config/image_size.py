"""The size of images: as a person writes it, always height x width, and which sizes a network takes."""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_SIDE = 16_384  # a larger resize is likely a typing error: one image could fill the memory
USUAL_SIDE = 64  # proposed for images that are larger

ImageSize: TypeAlias = int | tuple[int, int]  # N for N x N, or (height, width)
EXPECTED = "a size such as 64, or 48x64 (height x width)"


def parse_image_size(value: Any) -> ImageSize:
    """Read ``64``, ``"64"``, ``"48x64"`` or ``[48, 64]``, height first; a square is one number.

    Raises:
        TypeError, ValueError: for anything else.
    """
    items = re.split(r"[x×,\s]+", value.strip("[]() ").lower()) if isinstance(value, str) else value
    found = [_whole(item) for item in (items if isinstance(items, (list, tuple)) else [items])]
    return image_size(*(found * 2 if len(found) == 1 else found))


def image_size(height: int, width: int) -> ImageSize:
    """One number for a square, else (height, width)."""
    return height if height == width else (height, width)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError
    return int(value)


def sides(size: ImageSize) -> tuple[int, int]:
    """(height, width)."""
    return (size, size) if isinstance(size, int) else size


def is_possible(size: ImageSize) -> bool:
    """Whether both sides are 1 to `MAX_SIDE`."""
    return all(1 <= side <= MAX_SIDE for side in sides(size))


def describe(height: int, width: int) -> str:
    """The size in words: ``64x64``, or ``48x64 (height x width)``."""
    return f"{height}x{width}" + ("" if height == width else " (height x width)")


def as_option(height: int, width: int) -> str:
    """``resize=64`` or ``resize=48x64``."""
    return f"resize={height}" if height == width else f"resize={height}x{width}"


@dataclass(frozen=True)
class Accepted:
    """The sizes that a model takes: multiples of ``unit``, or ``only`` one (height, width)."""

    unit: int = 1
    only: tuple[int, int] | None = None

    def includes(self, height: int, width: int) -> bool:
        """Whether it takes images of this size."""
        if self.only is not None:
            return (height, width) == self.only
        return height % self.unit == width % self.unit == 0

    def nearest(self, height: int, width: int, up: bool) -> tuple[int, int] | None:
        """The next size that it takes, with no larger or, if ``up``, no smaller sides; None: there is none.

        Where a side is smaller than the unit, it becomes the unit.
        """
        if self.only is not None:
            return self.only
        unit = self.unit
        rounded = [
            max(1, -(-side // unit) if up else side // unit) * unit for side in (height, width)
        ]
        found = (rounded[0], rounded[1])
        return found if is_possible(found) else None

    def square(self, side: int) -> tuple[int, int] | None:
        """A usual size for images whose shorter side is ``side``; small networks halve it several times."""
        side = min(side, USUAL_SIDE)
        return self.nearest(*(2 * (side // 8 * 8 or side,)), up=False)


ANY_SIZE = Accepted()

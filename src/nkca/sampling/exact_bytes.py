"""Bytes that have exactly the block means, or the grey values, that were asked for.

A chain that knows them believes in states that have them to a hundredth of a level; rounding to bytes, and
cutting off what is below 0 or above 255, moves them. Both functions here add one whole number s to all the
bytes that belong together, cut off at 0 and 255, and find s by bisection: sums and grey values rise with s.

    block means   s is the largest for which the sum of a block's bytes is not too large; what is lacking is
                  less than the number of bytes that s + 1 would raise, so that many are raised by one
    grey values   the luma of (R, G, B) + s rises by 0 or 1 with s, from 0 to 255: every grey is reached
"""

from collections.abc import Callable

import torch
from torch import Tensor

from nkca.denoisers.conditions.grey import LUMA


def luma(picture: Tensor) -> Tensor:
    """Pillow's conversion of (B, 3, H, W) to "L", bit for bit: integers (B, 1, H, W) in 0..255."""
    weights = torch.tensor(LUMA, device=picture.device).view(1, 3, 1, 1)
    return ((picture.long() * weights).sum(1, keepdim=True) + 0x8000) >> 16


def with_block_sums(picture: Tensor, sums: Tensor, side: int, free: Tensor) -> Tensor:
    """Change a picture as little as its blocks' sums need.

    Args:
        picture: uint8 (B, C, H, W).
        sums: integers (B or 1, C, H / side, W / side), for blocks of side x side bytes.
        free: bool, broadcastable to the picture: bytes that may change. A sum that they cannot reach is
            come as near to as possible.
    """
    wanted = sums.expand(len(picture), -1, -1, -1).unsqueeze(-1)
    values, may_move = (_blocks(t.expand(picture.shape), side) for t in (picture.long(), free))

    def moved(s: Tensor) -> Tensor:
        return torch.where(may_move, (values + s).clamp(0, 255), values)

    s = _last(lambda s: moved(s).sum(-1, keepdim=True) <= wanted, wanted)
    low, high = moved(s), moved(s + 1)
    rises = high > low
    lacking = wanted - low.sum(-1, keepdim=True)
    exact = torch.where(rises & (rises.cumsum(-1) <= lacking), high, low)
    return _unblocked(exact, side).to(torch.uint8)


def with_grey(picture: Tensor, grey: Tensor, free: Tensor) -> Tensor:
    """Change a picture as little as its luma needs.

    Args:
        picture: uint8 (B, 3, H, W).
        grey: integers (B or 1, 1, H, W) in 0..255, the luma that pixels shall have.
        free: bool, broadcastable to (B, 1, H, W): pixels that may change.
    """
    wanted = grey.long().expand(len(picture), -1, -1, -1)
    values = picture.long()

    def moved(s: Tensor) -> Tensor:
        return (values + s).clamp(0, 255)

    highest = _last(lambda s: luma(moved(s)) <= wanted, wanted)
    lowest = _last(lambda s: luma(moved(s)) < wanted, wanted) + 1
    s = torch.minimum(lowest.clamp(min=0), highest)
    return torch.where(free, moved(s), values).to(torch.uint8)


def _last(holds: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """The last s in -256..255, as ``like``, for which ``holds`` is true; -256 where it never is."""
    s = torch.full_like(like, -256)
    for step in (256, 128, 64, 32, 16, 8, 4, 2, 1):
        s = torch.where(holds(s + step), s + step, s)
    return s


def _blocks(picture: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C, H / side, W / side, side²)."""
    return picture.unfold(2, side, side).unfold(3, side, side).flatten(4)


def _unblocked(blocks: Tensor, side: int) -> Tensor:
    batch, channels, rows, columns, _ = blocks.shape
    squares = blocks.view(batch, channels, rows, columns, side, side).transpose(3, 4)
    return squares.reshape(batch, channels, rows * side, columns * side)

"""The size of the network, where no option says it: from the images' size, the device and the time.

On the CPU the network sees patches of pixels and has its width where there are few positions: full-size
maps of few channels run far from the machine's speed (benchmarks/README.md).
"""

from typing import Any

import torch

SMALLEST_MAP = 8  # positions on a side below which no level halves the map further
WIDTHS = (1, 2, 2, 4, 4, 4)  # of the levels, in units of hidden_size
LONG = 2 * 3600.0  # seconds on a CPU from which a wider network pays


def network_size(
    height: int,
    width: int,
    device: torch.device,
    seconds: float | None,
    patch: int | None = None,
) -> dict[str, Any]:
    """hidden_size, dim_mults and patch_size for images of that size; ``seconds`` is the time to train.

    Args:
        patch: the patch size, if it is settled.
    """
    patch = patch or _patch(height, width)
    rows, columns, levels = height // patch, width // patch, 1
    while (
        levels < len(WIDTHS) and rows % 2 == columns % 2 == 0 and min(rows, columns) > SMALLEST_MAP
    ):
        rows, columns, levels = rows // 2, columns // 2, levels + 1
    hidden = 128
    if device.type == "cpu":
        is_long = seconds is not None and seconds >= LONG
        hidden = 96 if is_long else 64
    return {"hidden_size": hidden, "dim_mults": WIDTHS[:levels], "patch_size": patch}


def _patch(height: int, width: int) -> int:
    """4 for large images, 2 for small ones, 1 where these do not divide the sides."""
    wanted = 4 if min(height, width) >= 128 else 2
    return next(p for p in (wanted, 2, 1) if height % p == width % p == 0)

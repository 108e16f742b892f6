"""The size of the network, where no option says it: from the images' size, the device and the time.

On the CPU the network sees patches of pixels and has its width where there are few positions: full-size
maps of few channels run far from the machine's speed (benchmarks/README.md).
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch

from nkca.config.image_size import describe
from nkca.config.schema import RunConfig
from nkca.models.build import ModelSpec, count_weights
from nkca.system.device import choose_device

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


def with_network_size(
    config: RunConfig, height: int, width: int, named: Collection[str]
) -> tuple[RunConfig, list[str]]:
    """The config with a network that fits the images, but for ``named`` options; and what to log.

    Who names the levels of the U-Net means them without patches, unless these are named too.
    """
    device = choose_device(config.training.device)
    patch = config.model.patch_size if "patch_size" in named else None
    size = network_size(height, width, device, config.training.max_time, patch)
    settled = {*named, "patch_size"} if "dim_mults" in named else named
    chosen = {name: value for name, value in size.items() if name not in settled}
    if not chosen:
        return config, []
    message = f"chosen for images of {describe(height, width)} on this {device.type}: {as_options(chosen)}"
    return replace(config, model=replace(config.model, **chosen)), [message]


def smaller_network(spec: ModelSpec, device: torch.device) -> str:
    """Advice to build the network that fits the images instead of that of ``spec``, if it is smaller."""
    size = network_size(*spec.data_shape[1:], device, None)
    other = replace(spec, config=replace(spec.config, **size))
    if count_weights(other) < count_weights(spec):
        return f"use {as_options(size)}"
    return "use a smaller resize or batch_size"


def as_options(values: Mapping[str, Any]) -> str:
    """``hidden_size=64, dim_mults=1,2``, as options in Python and YAML are called."""
    return ", ".join(f"{name}={_as_value(value)}" for name, value in values.items())


def as_flags(values: Mapping[str, Any]) -> str:
    """``--hidden-size=64 --dim-mults=1,2``, as a command takes them."""
    return " ".join(f"--{name.replace('_', '-')}={_as_value(v)}" for name, v in values.items())


def _as_value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

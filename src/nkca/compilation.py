"""Code made for this machine (`--compile`): a command chooses it for the models of its process.

On the CPU: what the network does between its convolutions, from the system's own C++ compiler
(`networks/kernels.cpp`), for images in channels-last memory. It takes seconds once and pays at once, so
"auto" does it wherever there is a compiler. On CUDA: torch.compile, which takes minutes; only "on" asks
for it. On other devices nothing is compiled. The numbers are the same to rounding.
"""

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger("nkca")
_choice = "off"
_said: set[str] = set()


def choose(choice: str) -> None:
    """Say what `prepare` does in this process where it is not told: auto, on or off."""
    global _choice
    _choice = choice


def prepare(network: "nn.Module", device: "torch.device", choice: str | None = None) -> "nn.Module":
    """Lay ``network``, which is on ``device``, out for the fastest code there is, in place; return it.

    Weights keep their names and values. What was decided is logged once for each process, with its cost;
    where nobody asked (`choose` said "auto") only for debugging.

    Args:
        choice: ``auto``, ``on`` or ``off``; default: as `choose` said, and ``off`` before that.
    """
    import torch

    level = logging.DEBUG if choice is None and _choice == "auto" else logging.INFO
    choice = choice or _choice
    if device.type == "cuda" or (device.type == "cpu" and choice != "off" and _has_kernels(level)):
        network.to(memory_format=torch.channels_last)
    if device.type == "cuda" and choice == "on":
        _say(level, "compiling for this GPU", "the first steps take minutes")
        network.compile()
    return network


def _has_kernels(level: int) -> bool:
    from nkca.networks.kernels import load_kernels
    from nkca.networks.native import CannotCompileError

    began = time.monotonic()
    try:
        fresh = load_kernels()
    except CannotCompileError as error:
        _say(level, "not compiled for this processor, which is slower", str(error))
        return False
    seconds = time.monotonic() - began
    _say(level, "compiled for this processor", f"{seconds:.1f} s" if fresh else "some time ago")
    return True


def _say(level: int, what: str, more: str) -> None:
    if what not in _said:
        _said.add(what)
        logger.log(level, "%s: %s", what, more)

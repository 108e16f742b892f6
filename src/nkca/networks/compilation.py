"""Code compiled for this machine (`--compile`).

On the CPU: the operations between the convolutions, by the system's C++ compiler (`networks/cpu/`), for
images in channels-last memory. It takes seconds, once, so "auto" compiles wherever there is a compiler. On
CUDA: torch.compile, which takes minutes; only "on" asks for it. On other devices nothing is compiled. The
results are the same up to rounding. Without the folder `networks/cpu/` only speed is lost.
"""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def compile_network(network: "nn.Module", device: "torch.device", choice: str) -> "nn.Module":
    """Make ``network``, which is on ``device``, use the fastest code available, in place; return it.

    Weights keep their names and values; their memory layout may change.

    Args:
        choice: ``auto``, ``on`` or ``off``.
    """
    import torch

    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)
        if choice == "on":
            network.compile()
    elif device.type == "cpu" and choice != "off" and not why_not_compiled():
        from nkca.networks.cpu.norm_mish import norm_mish
        from nkca.networks.layers import use_norm_mish

        network.to(memory_format=torch.channels_last)
        use_norm_mish(network, norm_mish)
    return network


def describe_compilation(device: "torch.device", choice: str) -> str:
    """One line on what `compile_network` does for that choice, and what it costs; "" if it does nothing."""
    if device.type == "cuda" and choice == "on":
        return "compiling for this GPU: the first steps take minutes"
    if device.type != "cpu" or choice == "off":
        return ""
    began = time.monotonic()
    if why_not_compiled():
        return f"not compiled for this processor, which is slower: {why_not_compiled()}"
    return f"compiled for this processor (ready in {time.monotonic() - began:.1f} s)"


def why_not_compiled() -> str:
    """The reason why the kernels for the CPU cannot be compiled or loaded; "" if they are loaded."""
    try:
        from nkca.networks.cpu.norm_mish import kernels
    except ImportError as error:
        return str(error)
    found = kernels()
    return found if isinstance(found, str) else ""

"""Exponential moving averages of weights."""

import torch
from torch import nn


def decay_at(update: int, decay: float, warmup: bool) -> float:
    """The decay of update number ``update`` (1, 2 ...): with warm-up at most (1 + n) / (10 + n)."""
    return min(decay, (1 + update) / (10 + update)) if warmup else decay


@torch.no_grad()
def update_ema(ema_network: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the weights of ``ema_network`` to decay * itself + (1 - decay) * ``network``, in place."""
    torch._foreach_lerp_(list(ema_network.parameters()), list(network.parameters()), 1 - decay)

"""Averages of weights: exponential ones, and ones whose length grows with the run.

An average of length L has the decay 1 - 1 / (L n) at update n: the weights of update m count as
(m / n)^(1/L - 1), so always the last part of the run, about the share L of it, counts (Karras et al. 2024,
arXiv 2312.02696, section 3: powers of time).
"""

import torch
from torch import nn


def decay_at(update: int, decay: float, warmup: bool) -> float:
    """The decay of update number ``update`` (1, 2 ...): with warm-up at most (1 + n) / (10 + n)."""
    return min(decay, (1 + update) / (10 + update)) if warmup else decay


def decay_of_length(update: int, length: float) -> float:
    """The decay of update number ``update`` (1, 2 ...) of an average of ``length``, in (0, 1]."""
    return max(0.0, 1 - 1 / (length * update))


@torch.no_grad()
def update_ema(ema_network: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the weights of ``ema_network`` to decay * itself + (1 - decay) * ``network``, in place."""
    torch._foreach_lerp_(list(ema_network.parameters()), list(network.parameters()), 1 - decay)

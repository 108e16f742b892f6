"""The contract of optimizers, and which one the options name."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from nkca.training.adam import Adam
from nkca.training.muon import Muon


class Optimizer(Protocol):
    """Updates weights in place from their gradients."""

    def step(self, rate: float) -> None:
        """Update every weight with the learning rate ``rate``."""
        ...

    def state(self) -> dict[str, Any]:
        """{"step": int, "mean": {name: tensor}, "square": {name: tensor}}, no copies; before a step {}."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a copy of what `state` gave."""
        ...


def build_optimizer(name: str, network: nn.Module, betas: tuple[float, float]) -> Optimizer:
    """``adam`` for all weights; ``muon`` for the matrices of the U-Net, Adam for the rest."""
    weights: dict[str, Tensor] = dict(network.named_parameters())
    if name == "adam":
        return Adam(weights.items(), betas)
    return Muon(weights, betas)

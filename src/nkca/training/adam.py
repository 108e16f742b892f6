"""Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1), for weights in any memory layout.

The arithmetic is PyTorch's fused operation, as in `torch.optim.Adam(fused=True)`. That class imports a
compiler when it is constructed (1.2 s and 150 MiB here), copies channels-last weights at every step, and
updates the wrong elements where a weight and its gradient differ in memory layout.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-8


class Adam:
    """The optimizer, with its state by the names of the weights.

    Attributes:
        steps: the number of updates so far.
    """

    def __init__(self, weights: Iterable[tuple[str, Tensor]], betas: tuple[float, float]) -> None:
        """``weights`` are names and float32 tensors, updated in place from their ``grad``.

        The two running means are allocated here, before any gradient, so that the heap does not fragment.
        """
        self.weights = dict(weights)
        self.betas = betas
        self.steps = 0
        self._means = [torch.zeros_like(weight) for weight in self.weights.values()]
        self._squares = [torch.zeros_like(weight) for weight in self.weights.values()]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update every weight with the learning rate ``rate``.

        Raises:
            RuntimeError: if a weight has no gradient; no weight has changed then.
        """
        check_gradients(self.weights)
        weights = list(self.weights.values())
        gradients = [weight.grad for weight in weights]
        orders = [sorted(range(w.dim()), key=w.stride, reverse=True) for w in weights]
        lists = (weights, gradients, self._means, self._squares)
        rows = [_reordered(tensors, orders) for tensors in lists]
        self.steps += 1
        count = torch.tensor(float(self.steps), device=weights[0].device)
        torch._fused_adam_(
            *(*rows, [], [count] * len(weights)),
            lr=rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Any]:
        """{"step": int, "mean": {name: tensor}, "square": {name: tensor}}, not copied.

        The two inner dictionaries are empty before the first step.
        """
        means, squares = (
            dict(zip(self.weights, tensors, strict=True)) if self.steps else {}
            for tensors in (self._means, self._squares)
        )
        return {"step": self.steps, "mean": means, "square": squares}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Restore a copy of what `state` returned."""
        self.steps = int(state["step"])
        for kind, tensors in (("mean", self._means), ("square", self._squares)):
            for name, tensor in zip(self.weights, tensors, strict=True):
                tensor.copy_(state[kind][name]) if self.steps else tensor.zero_()


def check_gradients(weights: Mapping[str, Tensor]) -> None:
    """Raise `RuntimeError` that names the first weight without a gradient."""
    for name, weight in weights.items():
        if weight.grad is None:
            raise RuntimeError(f"{name} has no gradient")


def _reordered(tensors: list[Any], orders: list[list[int]]) -> list[Tensor]:
    """Each tensor with its dimensions in the memory order of its weight, contiguous."""
    return [t.permute(order).contiguous() for t, order in zip(tensors, orders, strict=True)]

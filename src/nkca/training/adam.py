"""Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1), for weights as they lie in memory.

The arithmetic is PyTorch's fused operation, as in `torch.optim.Adam(fused=True)`. That class imports a
compiler when one is made, 1.2 s and 150 MiB here, copies what is in channels-last memory at every step, and
where a gradient does not lie as its weight does, it moves the wrong numbers.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-8


class Adam:
    """Moves weights against the running mean of their gradients, by name.

    Attributes:
        steps: taken so far.
    """

    def __init__(self, weights: Iterable[tuple[str, Tensor]], betas: tuple[float, float]) -> None:
        """``weights`` are names and float32 tensors, moved in place by their ``grad``.

        The two running means are allocated here, before any gradient, so that the heap does not fragment.
        """
        self.weights = dict(weights)
        self.betas = betas
        self.steps = 0
        self._means = [torch.zeros_like(weight) for weight in self.weights.values()]
        self._squares = [torch.zeros_like(weight) for weight in self.weights.values()]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every weight at the learning rate ``rate``.

        Raises:
            RuntimeError: if a weight has no gradient; nothing has moved.
        """
        for name, weight in self.weights.items():
            if weight.grad is None:
                raise RuntimeError(f"{name} has no gradient")
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
        """{"step": int, "mean": {name: tensor}, "square": {name: tensor}}, no copies; before a step {}."""
        means, squares = (
            dict(zip(self.weights, tensors, strict=True)) if self.steps else {}
            for tensors in (self._means, self._squares)
        )
        return {"step": self.steps, "mean": means, "square": squares}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a copy of what `state` gave."""
        self.steps = int(state["step"])
        for kind, tensors in (("mean", self._means), ("square", self._squares)):
            for name, tensor in zip(self.weights, tensors, strict=True):
                tensor.copy_(state[kind][name]) if self.steps else tensor.zero_()


def _reordered(tensors: list[Any], orders: list[list[int]]) -> list[Tensor]:
    """Each tensor with its dimensions in the order in which its weight lies in memory, contiguous."""
    return [t.permute(order).contiguous() for t, order in zip(tensors, orders, strict=True)]

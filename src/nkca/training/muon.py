"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): updates that are orthogonal matrices.

A convolution's weights are a matrix, outputs by inputs and positions. With the running mean m of its
gradients g,

    m <- 0.95 m + 0.05 g,    u = 0.95 m + 0.05 g,    weight <- weight - rate' orthogonal(u)

where orthogonal(u) = (u uᵀ)^-½ u has the singular vectors of u and singular values near 1: all directions
are learned equally fast, not those alone in which gradients are large. It comes from five steps of a
Newton-Schulz iteration, X <- a X + (b A + c A²) X with A = X Xᵀ, in bfloat16, which is exact enough: its
singular values end in about 0.7 to 1.2. For rows m > columns n rate' is sqrt(m / n) times larger, which
keeps the largest change of an output independent of the shape. Biases, norms, gates, the level embedding,
the first and the last layer, which are not such matrices, are learned by Adam.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nkca.training.adam import Adam, check_gradients

MOMENTUM = 0.95
RATE = 13.0  # rate' of a square matrix in units of Adam's learning rate
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
SMALLEST_SIDE = 16  # smaller matrices are Adam's


class Muon:
    """Muon for the matrices of the U-Net, Adam for the other weights; see `nkca.training.optimizer`."""

    def __init__(self, weights: Mapping[str, Tensor], betas: tuple[float, float]) -> None:
        """``weights`` are float32 tensors by name, updated in place from their ``grad``."""
        self.matrices = {name: w for name, w in weights.items() if _is_matrix(name, w)}
        rest = {name: w for name, w in weights.items() if name not in self.matrices}
        self.adam = Adam(rest.items(), betas)
        self._means = {name: torch.zeros_like(w) for name, w in self.matrices.items()}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update every weight; ``rate`` is Adam's.

        Raises:
            RuntimeError: if a weight has no gradient; no matrix has changed then.
        """
        check_gradients(self.matrices)
        self.adam.step(rate)
        for name, weight in self.matrices.items():
            assert weight.grad is not None
            mean = self._means[name].lerp_(weight.grad, 1 - MOMENTUM)
            direction = weight.grad.lerp(mean, MOMENTUM).flatten(1)
            rows, columns = direction.shape
            size = RATE * rate * max(1.0, rows / columns) ** 0.5
            weight.sub_(orthogonal(direction).view(weight.shape), alpha=size)

    def state(self) -> dict[str, Any]:
        """{"step", "mean": of all weights, "square": of Adam's}, no copies; before a step {}."""
        state = self.adam.state()
        means = self._means if self.adam.steps else {}
        return {**state, "mean": {**state["mean"], **means}}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a copy of what `state` gave."""
        self.adam.load(state)
        for name, mean in self._means.items():
            mean.copy_(state["mean"][name]) if self.adam.steps else mean.zero_()


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal matrix next to ``matrix`` (rows, columns), nearly; float32, of its shape."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if is_tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if is_tall else x).float()


def _is_matrix(name: str, weight: Tensor) -> bool:
    """Whether it is a layer within the U-Net that has a matrix of some size."""
    if ".unet." not in f".{name}" or weight.dim() != 4:
        return False
    rows = len(weight)
    return min(rows, weight.numel() // rows) >= SMALLEST_SIDE

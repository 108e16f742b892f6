"""Can a small network tell the direction of time? In a reversible chain (x, y) is distributed as (y, x).

In its stationary distribution a chain is reversible if p(x) p(y|x) = p(y) p(x|y): pairs of successive
states have the same law in both orders. A score

    s(x, y) = g(x, y) - g(y, x)

is antisymmetric, so its sign is a guess of the order. g is trained on some chains to prefer the true order
(softplus(-s), the logistic loss) and tested on others: if the chain is reversible, half of the guesses are
right, whatever g has learnt. An accuracy above 1/2 shows an arrow of time. This is a classifier two-sample
test (Lopez-Paz and Oquab 2017, arXiv 1610.06545).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nkca.diagnostics.significance import p_value_above, standard_error, z_scores
from nkca.errors import InputError
from nkca.networks.layers import initialise
from nkca.noise import derive_seed


@dataclass(frozen=True)
class Pairs:
    """Successive states of independent chains.

    Args:
        x: (N, P, C, H, W), float or int: P states of each of N chains.
        y: of the same shape: the state that follows each of them.
    """

    x: Tensor
    y: Tensor

    def to(self, device: torch.device) -> "Pairs":
        """The same pairs on ``device``."""
        return Pairs(self.x.to(device), self.y.to(device))

    def select(self, chains: Tensor) -> "Pairs":
        """The pairs of some chains, int64 (n,)."""
        return Pairs(self.x[chains], self.y[chains])


@dataclass(frozen=True)
class ClassifierTraining:
    """How the classifier is trained: ``num_steps`` of Adam on ``batch_size`` pairs each."""

    num_steps: int = 200
    batch_size: int = 64
    width: int = 16
    learning_rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class Reversibility:
    """How well the classifier detects the arrow of time; plain numbers.

    Args:
        accuracy: on held-out pairs; 0.5 for a reversible chain. A score of 0 counts as half right.
        standard_error: the larger of the binomial one and that of the spread between chains, because
            pairs of one chain are not independent.
        p_value: probability of an accuracy that large, if the chain is reversible.
        chains: number of held-out chains, each from another image.
        pairs: number of held-out pairs, of all these chains.
    """

    accuracy: float
    standard_error: float
    p_value: float
    chains: int
    pairs: int


def arrow_of_time(pairs: Pairs, training: ClassifierTraining | None = None) -> Reversibility:
    """Train the classifier on half of the chains and test it on the other half.

    On the CPU it is deterministic for equal inputs; the global random state is neither used nor changed.
    It computes on the device of ``pairs.x``.

    Raises:
        InputError: for fewer than 4 chains.
    """
    training = training or ClassifierTraining()
    count = len(pairs.x)
    if count < 4:
        raise InputError(f"the arrow of time needs at least 4 chains, got {count}")
    generator = torch.Generator().manual_seed(derive_seed("arrow of time", training.seed))
    order = torch.randperm(count, generator=generator).to(pairs.x.device)
    with torch.inference_mode(False), torch.enable_grad():
        trained, held_out = _standardised(pairs, order[: count // 2], order[count // 2 :])
        network = _train(trained, training, generator)
    with torch.no_grad():
        parts = [
            _score(network, *_flat(held_out.select(rows))) for rows in _row_chunks(len(held_out.x))
        ]
    return _assess(torch.cat(parts).cpu().view(len(held_out.x), -1))


def _assess(score: Tensor) -> Reversibility:
    """Evaluate the scores of held-out pairs in their true order, (N, P)."""
    right = (0.5 + 0.5 * score.sign()).mean(1).double()  # of each chain
    by_chance = 0.5 / math.sqrt(score.numel())  # the standard error if all pairs were independent
    return Reversibility(
        accuracy=right.mean().item(),
        standard_error=max(by_chance, standard_error(right).item()),
        p_value=p_value_above(z_scores(right - 0.5, least_error=by_chance).item()),
        chains=len(score),
        pairs=score.numel(),
    )


def _standardised(pairs: Pairs, trained: Tensor, held_out: Tensor) -> tuple[Pairs, Pairs]:
    """Both halves as float32, standardised by the mean and deviation of the one for training."""
    x = pairs.x[trained].float()
    mean, deviation = x.mean(), x.std().clamp(min=1e-6)
    halves = [pairs.select(half) for half in (trained, held_out)]
    training_half, held_out_half = (
        Pairs((half.x.float() - mean) / deviation, (half.y.float() - mean) / deviation)
        for half in halves
    )
    return training_half, held_out_half


def _row_chunks(count: int) -> Iterator[Tensor]:
    """The numbers 0 ... count - 1, a few at a time, to bound memory."""
    for first in range(0, count, 8):
        yield torch.arange(first, min(first + 8, count))


def _flat(pairs: Pairs) -> tuple[Tensor, Tensor]:
    return pairs.x.flatten(0, 1), pairs.y.flatten(0, 1)


def _score(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """s(x, y) of pairs (B, C, H, W): (B,)."""
    g = network(torch.cat([torch.cat([x, y], 1), torch.cat([y, x], 1)])).squeeze(1)
    score: Tensor = g[: len(x)] - g[len(x) :]
    return score


def _train(pairs: Pairs, training: ClassifierTraining, generator: torch.Generator) -> nn.Module:
    x, y = _flat(pairs)
    network = _network(2 * x.shape[1], training.width, generator).to(x.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    for _ in range(training.num_steps):
        rows = torch.randint(len(x), (training.batch_size,), generator=generator).to(x.device)
        loss = F.softplus(-_score(network, x[rows], y[rows])).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return network


def _network(channels: int, width: int, generator: torch.Generator) -> nn.Module:
    """g: (B, channels, H, W) -> (B, 1), for any size of image."""
    with torch.random.fork_rng(devices=[]):  # constructors of layers draw from the global generator
        network = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.Mish(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.Mish(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.Mish(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * width, 1),
        )
    initialise(network, generator)
    return network

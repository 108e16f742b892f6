"""The only source of randomness: one generator per sample.

Row i of every draw comes from its own generator, on the CPU, so that sample 17 is the same in any
batch, on any number of machines and, up to float rounding, on any device.
"""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nkca.errors import require
from nkca.system.device import send


def check_seed(seed: int) -> None:
    """Raise `InputError` unless the seed of a sample is in 0..2**63-1."""
    require(0 <= seed < 2**63, "seeds", "in 0..2^63-1", seed)


def derive_seed(*key: int | str) -> int:
    """Return a 63-bit seed that depends on every part of ``key``; close keys give unrelated seeds."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Noise:
    """A batch of independent random streams, one for each sample.

    Args:
        seeds: one integer in 0..2**63-1 for each sample.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = 1.0

    def __getitem__(self, rows: slice) -> "Noise":
        """The streams of some rows: the same streams, not copies."""
        part = Noise([])
        part._generators, part._temperature = self._generators[rows], self._temperature
        return part

    def tempered(self, temperature: float) -> "Noise":
        """The same streams, whose normal draws are N(0, temperature²)."""
        noise = self[:]
        noise._temperature = temperature
        return noise

    def __len__(self) -> int:
        return len(self._generators)

    def normal(self, like: Tensor) -> Tensor:
        """Draw N(0, 1) in the shape, dtype and device of ``like``: (B, ...), B the number of streams.

        Of streams that are `tempered`, N(0, temperature²).
        """
        draws = self._rows(like, torch.randn)
        return draws if self._temperature == 1 else self._temperature * draws

    def uniform(self, like: Tensor) -> Tensor:
        """Draw U[0, 1) in the shape, dtype and device of ``like``: (B, ...), B the number of streams."""
        return self._rows(like, torch.rand)

    def _rows(self, like: Tensor, draw: Callable[..., Tensor]) -> Tensor:
        assert len(like) == len(self), f"{len(like)} rows for {len(self)} streams"
        rows = [draw(like.shape[1:], generator=g, dtype=like.dtype) for g in self._generators]
        return send(torch.stack(rows), like.device)


def sample_noise(seeds: Sequence[int]) -> Noise:
    """Streams for sampling: the user's seed 17 is the same sample in every batch.

    Raises:
        InputError: if a seed is not in 0..2**63-1.
    """
    for seed in seeds:
        check_seed(seed)
    return Noise([derive_seed("sample", seed) for seed in seeds])


def step_noise(seed: int, step: int, first: int, count: int) -> Noise:
    """Streams for images ``first`` to ``first + count - 1`` of the global batch of a training step."""
    return Noise([derive_seed("train", seed, step, row) for row in range(first, first + count)])

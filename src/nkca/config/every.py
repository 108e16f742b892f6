"""How often: every so many steps, images seen, or seconds of training."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from nkca.errors import require


class Counts(Protocol):
    """How far a run is."""

    @property
    def step(self) -> int:
        """Steps done."""
        ...

    @property
    def images(self) -> int:
        """Images seen."""
        ...

    @property
    def seconds(self) -> float:
        """Training time."""
        ...


@dataclass(frozen=True)
class Every:
    """Every ``amount`` steps, images or seconds of a run, counted from its start; 0: never."""

    amount: float
    unit: Literal["step", "images", "seconds"] = "step"

    def __post_init__(self) -> None:
        require(0 <= self.amount < math.inf, "an interval", "at least 0 and finite", self.amount)

    def __bool__(self) -> bool:
        return self.amount > 0

    def __str__(self) -> str:
        """As `nkca.config.parsing.parse_every` reads it: 250, 100kimg, 90s."""
        amount = int(self.amount) if self.amount == int(self.amount) else self.amount
        if self.unit == "images":
            return f"{amount}img" if amount % 1000 else f"{amount // 1000}kimg"
        return f"{amount}s" if self.unit == "seconds" else f"{amount}"

    @property
    def plain(self) -> int | str:
        """For YAML and JSON."""
        return int(self.amount) if self.unit == "step" else str(self)

    def is_due(self, before: Counts, after: Counts) -> bool:
        """Whether a multiple of ``amount`` was reached since ``before``; it depends on nothing else."""
        if not self:
            return False
        first, last = getattr(before, self.unit), getattr(after, self.unit)
        return bool(last // self.amount > first // self.amount)

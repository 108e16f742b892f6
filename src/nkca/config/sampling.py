"""How samples are drawn where a command does not say it."""

import math
from dataclasses import dataclass

from nkca.config.option import option
from nkca.errors import require


@dataclass(frozen=True)
class SamplingConfig:
    """How samples are drawn where nothing else is said: previews, evaluations, the commands."""

    sampler: str = option(
        "chain",
        "How samples are drawn: the chain's transitions, or a deterministic way (docs/sampling.md).",
        ("chain", "ancestral", "ddim", "heun", "dpm2m", "ge"),
    )
    ladder: str = option(
        "linear",
        "Noise levels on the way: linear in b, or in a power of sigma, dense where that is small.",
        ("linear", "sigma"),
    )
    num_sampling_steps: int = option(100, "Transitions on the way from noise to a sample.")
    guidance: float = option(
        1.0, "How far samples are moved away from the run's weak model (--weak-at); 1: not at all."
    )

    def __post_init__(self) -> None:
        require(math.isfinite(self.guidance), "guidance", "finite", self.guidance)
        steps = self.num_sampling_steps
        require(steps >= 0, "num_sampling_steps", "at least 0", steps)

"""Many samples from one walk: descend once, walk at one level, and finish each state that is met.

The chain at a fixed level keeps the noised data, so every state of a walk is a sample of them, and
finishing it gives a sample of the data. States that follow each other resemble each other: a walk of n
samples is worth fewer independent ones. Sample number s is state s mod n of walk s div n, in any batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nkca.errors import require
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.sampling.tasks import Schedule, Task, from_noise, run_task

WALK_LEVEL = 0.6  # high enough that a few steps lead to another picture
STEPS_BETWEEN = 3  # transitions from one sample to the next


def from_walks(
    seeds: Sequence[int], samples_per_walk: int, steps_between: int = STEPS_BETWEEN
) -> Task:
    """New images, ``samples_per_walk`` of them from each walk; the schedule says where it walks.

    The walks descend from level 1 to the first level of the schedule, which is below 1, by the same sampler
    and ladder and as many steps, walk there, and the schedule finishes their states.

    Raises:
        InputError: unless ``samples_per_walk`` is at least 1 and ``steps_between`` at least 1.
    """
    require(samples_per_walk >= 1, "samples_per_walk", "at least 1", samples_per_walk)
    require(steps_between >= 1, "steps_between", "at least 1", steps_between)

    def start(model: Model, schedule: Schedule, _noise: Noise) -> Tensor:
        level = schedule.levels(model)[0]
        walks = sorted({seed // samples_per_walk for seed in seeds})
        furthest = max(seed % samples_per_walk for seed in seeds)
        states = [_descend(model, schedule, level, walks)]
        noise = Noise([derive_seed("walk", walk) for walk in walks])
        b = torch.full((len(walks),), level, device=model.device)
        x, carried = states[0], None
        for _ in range(furthest):
            for _ in range(steps_between):
                p_z = model.chain.believe(x, b)
                x, carried = model.chain.step(x, (b, b), p_z, noise, carried)
            states.append(x)
        rows = [(seed % samples_per_walk, walks.index(seed // samples_per_walk)) for seed in seeds]
        return torch.stack([states[number][walk] for number, walk in rows])

    return Task(seeds, start, usual=Schedule(max_noise=WALK_LEVEL))


def _descend(model: Model, schedule: Schedule, level: float, walks: Sequence[int]) -> Tensor:
    """The states of the walks at ``level``, (walks, C, H, W)."""
    way = Schedule(1.0, level, schedule.num_steps, schedule.ladder, schedule.sampler)
    *_, last = run_task(model, from_noise([derive_seed("walk start", walk) for walk in walks]), way)
    return last.x

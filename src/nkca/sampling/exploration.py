"""Exploration: the noise of one band of levels is drawn anew, all other noise stays.

A picture is a function of the noise at its start and in each transition. The levels are cut into bands of
equally many transitions; in row r the noise of band r comes from other streams, one for each column. What
then differs is what is decided at those levels (after NVAE, arXiv 2007.03898, figure 6, and StyleGAN's
noise inputs, arXiv 1812.04948, figure 5). The noise of the start belongs to the highest band.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nkca.chain import Chain, Moment
from nkca.errors import InputError, require
from nkca.levels import expand
from nkca.models.model import Model
from nkca.noise import Noise, derive_seed
from nkca.sampling.samplers import DRAW_NOISE
from nkca.sampling.tasks import Schedule, Task, draw_task

USUAL = Schedule(num_steps=60, ladder="linear", sampler="chain")
"""The schedule where none is given: a deterministic sampler would draw noise at the start alone."""


@dataclass(frozen=True)
class Exploration:
    """What redrawn noise changes.

    Args:
        pictures: uint8 (bands, columns, C, H, W) on the CPU; in the first column nothing is redrawn.
        bands: the highest and the lowest level of each row, from high to low.
    """

    pictures: Tensor
    bands: tuple[tuple[float, float], ...]


class RedrawnNoise(Noise):
    """The streams of ``original``; rows that are ``redrawn``, bool (B,), take those of ``other`` instead.

    Both advance at each draw, so that what comes after a redrawn part is what it was.
    """

    def __init__(self, original: Noise, other: Noise) -> None:
        super().__init__([])
        self._original, self._other = original, other
        self.redrawn = torch.zeros(len(original), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._original)

    def normal(self, like: Tensor) -> Tensor:
        """Draw N(0, 1), as `Noise.normal`."""
        return self._chosen(self._original.normal(like), self._other.normal(like))

    def uniform(self, like: Tensor) -> Tensor:
        """Draw U[0, 1), as `Noise.uniform`."""
        return self._chosen(self._original.uniform(like), self._other.uniform(like))

    def _chosen(self, original: Tensor, other: Tensor) -> Tensor:
        return torch.where(expand(self.redrawn.to(other.device), other), other, original)


def explore(
    model: Model,
    task_of: Callable[[Sequence[int]], Task],
    seed: int,
    size: tuple[int, int],
    schedule: Schedule | None = None,
    tick: Callable[[float], None] = lambda _share: None,
) -> Exploration:
    """Redraw the noise of each band for the picture of ``seed``.

    Args:
        task_of: seeds -> a task, such as `nkca.sampling.tasks.from_noise`; the seeds are all equal.
        size: the numbers of bands and of columns.
        schedule: completed with `USUAL`.

    Raises:
        InputError: if there are more bands than transitions, fewer than 2 columns, or the sampler draws no
            noise.
    """
    rows, columns = size
    base = task_of([seed] * (rows * columns))
    schedule = (schedule or Schedule()).completed(USUAL).completed(base.usual)
    if schedule.sampler not in DRAW_NOISE:
        raise InputError(f"the sampler {schedule.sampler} draws no noise on its way: use chain")
    levels = schedule.levels(model)
    steps = len(levels) - 1
    require(1 <= rows <= steps, "the number of bands", f"in 1..{steps}, the transitions", rows)
    require(columns >= 2, "the number of columns", "at least 2", columns)
    of_row = torch.arange(rows).repeat_interleave(columns)
    is_changed = torch.arange(columns).repeat(rows) > 0
    keys = [derive_seed("explore", seed, column) for column in range(columns)]
    other = Noise(keys * rows).tempered(schedule.temperature)

    def start(model: Model, schedule: Schedule, noise: Noise) -> Tensor:
        both = RedrawnNoise(noise, other)
        both.redrawn = is_changed & (of_row == 0)
        return base.start(model, schedule, both)

    def sampler(chain: Chain, x: Tensor, path: Sequence[float], noise: Noise) -> Iterator[Moment]:
        both = RedrawnNoise(noise, other)
        for moment in schedule.sample_with(model)(chain, x, path, both):
            both.redrawn = is_changed & (of_row == moment.step * rows // steps)
            yield moment

    pictures = draw_task(model, replace(base, start=start), schedule, "z", sampler, tick)
    firsts = [math.ceil(row * steps / rows) for row in range(rows + 1)]
    bands = tuple((levels[first], levels[last]) for first, last in itertools.pairwise(firsts))
    return Exploration(pictures.view(*size, *pictures.shape[1:]), bands)

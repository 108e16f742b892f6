"""A fan: variants of one image at several levels, so that one sees how far is far.

Row r starts from the image noised to level r; columns are seeds. With a task that holds the coarse structure
of the image it shows a translation at several levels.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nkca.errors import InputError
from nkca.models.model import Model
from nkca.sampling.tasks import Schedule, Task, around, draw_task

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def fan(
    model: Model,
    image: Tensor,
    seeds: Sequence[int],
    levels: Sequence[float] = LEVELS,
    schedule: Schedule | None = None,
    task_of: Callable[[Tensor, Sequence[int]], Task] = around,
    tick: Callable[[float], None] = lambda _share: None,
) -> Tensor:
    """Variants of an image, uint8 (C, H, W), for each level and seed: uint8 (levels, seeds, C, H, W).

    Args:
        schedule: its first level is replaced by each of ``levels``.
        task_of: (images uint8 (B, C, H, W), seeds) -> the task.
        tick: called with the share done so far, in (0, 1].

    Raises:
        InputError: if there are no levels or seeds, or a level is out of range.
    """
    if not levels or not seeds:
        raise InputError("a fan needs at least one level and one seed")
    images, rows = image.expand(len(seeds), *image.shape), []
    for number, level in enumerate(levels):
        row_schedule = Schedule(max_noise=level).completed(schedule or Schedule())
        rows.append(draw_task(model, task_of(images, seeds), row_schedule))
        tick((number + 1) / len(levels))
    return torch.stack(rows)

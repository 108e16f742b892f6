"""Pictures of the run's progress, by the averaged weights: samples, always from the same seeds, and
reconstructions of training images."""

import logging
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nkca.distributed.ranks import GivenUpError
from nkca.pictures.grid import Pictures, contact_sheet
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures, as_tensor
from nkca.runs.curves import Curves
from nkca.runs.run import Run
from nkca.sampling.reconstruction import STEPS, finishing, noised, reconstruction
from nkca.sampling.tasks import Schedule, draw_task, from_noise

logger = logging.getLogger("nkca")

PREVIEW_SAMPLES = 16
RECONSTRUCTED = 8  # images, spread evenly over the set
LEVELS = (0.2, 0.5, 0.8)  # that they are noised to


def save_preview(run: Run, curves: Curves, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Save both sheets as PNGs and as images in TensorBoard; each rank makes a share of them.

    Args:
        should_stop: called repeatedly; True on any rank ends it without a preview.
    """
    run = run.at_phase()
    step, began = run.progress.step, time.monotonic()
    sheets = {"samples": ("previews", _samples), "reconstructions": ("reconstructions", _rebuilt)}
    for name, (folder, make) in sheets.items():
        picture = make(run, should_stop)
        if picture is None:
            return
        if run.ranks.is_first:
            (run.directory / folder).mkdir(exist_ok=True)
            save_png(run.directory / folder / f"step_{step:09d}.png", picture)
            curves.image(name, picture, step)
    if run.ranks.is_first:
        logger.info("preview at step %d took %.1f s", step, time.monotonic() - began)


def estimated_seconds(run: Run, seconds_per_image: float) -> float:
    """What a preview takes where an image takes so long in a step: three times an evaluation, about."""
    evaluations = PREVIEW_SAMPLES * len(Schedule().levels(run.ema_model))
    evaluations += RECONSTRUCTED * len(LEVELS) * STEPS
    return evaluations / run.ranks.count * seconds_per_image / 3


def _samples(run: Run, should_stop: Callable[[], bool]) -> Pictures | None:
    """The sheet of the first samples."""

    def draw(rows: range) -> Tensor:
        return draw_task(run.ema_model, from_noise(rows), Schedule(), tick=_watch(should_stop))

    made = run.ranks.together(lambda rows: _in_parts(run, rows, draw), PREVIEW_SAMPLES)
    return None if made is None else contact_sheet(as_pictures(made))


def _rebuilt(run: Run, should_stop: Callable[[], bool]) -> Pictures | None:
    """The sheet of training images, and below them for each level what is noised and what is made of it."""
    model, total = run.ema_model, len(run.images)
    chosen = np.linspace(0, total - 1, min(RECONSTRUCTED, total)).astype(int)

    def make(rows: range) -> Tensor:
        images = as_tensor(np.array(run.images.images[chosen[rows.start : rows.stop]]))
        lines = [model.pixels.to_uint8(model.pixels.to_state(images))]
        for level in LEVELS:
            schedule = finishing(model, level)
            lines.append(noised(model, images, level, rows))
            task = reconstruction(images, rows)
            lines.append(draw_task(model, task, schedule, tick=_watch(should_stop)))
        return torch.stack(lines, 1)

    made = run.ranks.together(lambda rows: _in_parts(run, rows, make), len(chosen))
    if made is None:
        return None
    return contact_sheet(as_pictures(made.movedim(1, 0).flatten(0, 1)), len(chosen))


def _in_parts(run: Run, rows: range, make: Callable[[range], Tensor]) -> Tensor:
    """What ``make`` makes of the rows, of no more at once than a part of a step has."""
    size = min(PREVIEW_SAMPLES, run.learner.part_size)
    return torch.cat([make(rows[first : first + size]) for first in range(0, len(rows), size)])


def _watch(should_stop: Callable[[], bool]) -> Callable[[float], None]:
    def watch(_share: float) -> None:
        if should_stop():
            raise GivenUpError

    return watch

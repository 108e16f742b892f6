"""Pictures of the run's progress: samples of the averaged weights, always from the same seeds."""

import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor

from nkca.distributed.ranks import GivenUpError
from nkca.pictures.grid import contact_sheet
from nkca.pictures.png import save_png
from nkca.pixels import as_pictures
from nkca.runs.curves import Curves
from nkca.runs.run import Run
from nkca.sampling.tasks import Schedule, draw_task, from_noise

logger = logging.getLogger("nkca")

PREVIEW_SAMPLES = 16


def save_preview(run: Run, curves: Curves, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Sample the averaged weights from fixed seeds, each rank a share: a PNG and an image in TensorBoard.

    Args:
        should_stop: called repeatedly; True on any rank ends it without a preview.
    """
    run = run.at_phase()
    step, began = run.progress.step, time.monotonic()
    pictures = _preview(run, should_stop)
    if pictures is None or not run.ranks.is_first:
        return
    picture = contact_sheet(as_pictures(pictures))
    (run.directory / "previews").mkdir(exist_ok=True)
    save_png(run.directory / "previews" / f"step_{step:09d}.png", picture)
    curves.image("samples", picture, step)
    logger.info("preview at step %d took %.1f s", step, time.monotonic() - began)


def estimated_seconds(run: Run, seconds_per_image: float) -> float:
    """What a preview takes where an image takes so long in a step: three times an evaluation, about."""
    evaluations = PREVIEW_SAMPLES * len(Schedule().levels(run.ema_model)) / run.ranks.count
    return evaluations * seconds_per_image / 3


def _preview(run: Run, should_stop: Callable[[], bool]) -> Tensor | None:
    """The first samples, uint8 (N, C, H, W), or None."""
    size = min(PREVIEW_SAMPLES, run.learner.part_size)

    def watch(_share: float) -> None:
        if should_stop():
            raise GivenUpError

    def make(rows: range) -> Tensor:
        parts = [rows[first : first + size] for first in range(0, len(rows), size)]
        return torch.cat(
            [draw_task(run.ema_model, from_noise(part), Schedule(), tick=watch) for part in parts]
        )

    return run.ranks.together(make, PREVIEW_SAMPLES)
